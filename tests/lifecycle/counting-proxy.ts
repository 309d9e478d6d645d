import { connect, createServer } from "node:net";
import { join } from "node:path";
import type { SocketAddress } from "../support/cluster.ts";
import { whenFileEnds } from "../support/ending.ts";
import { scratchDirectory } from "./server-process.ts";

const socketName = ".s.PGSQL.5432";
const lengthBytes = 4;

/** A way to a database that counts the statements that are asked of it. The database's own numbers come seconds late. */
export async function openCountingProxy(target: SocketAddress): Promise<{ host: string; statements(): number }> {
  const host = scratchDirectory("counting");
  let statements = 0;
  const server = createServer((client) => {
    const database = connect(join(target.host, socketName));
    const count = createCounter(() => statements++);
    for (const socket of [client, database]) {
      socket.on("error", () => socket.destroy());
      socket.on("close", () => [client, database].map((one) => one.destroy()));
    }
    client.on("data", (chunk: Buffer) => {
      count(chunk);
      database.write(chunk);
    });
    database.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(join(host, socketName), resolve));
  whenFileEnds(async () => void server.close());
  return { host, statements: () => statements };
}

/** Reads what a client sends: a first message without a type, then a type and a length each. `E` and `Q` execute. */
function createCounter(onStatement: () => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let typeBytes = 0;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= typeBytes + lengthBytes) {
      const end = typeBytes + rest.readInt32BE(typeBytes);
      if (rest.length < end) return;
      if (typeBytes === 1 && "EQ".includes(String.fromCharCode(rest[0] ?? 0))) onStatement();
      rest = rest.subarray(end);
      typeBytes = 1;
    }
  };
}
