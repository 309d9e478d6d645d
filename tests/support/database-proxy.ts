import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SocketAddress } from "./cluster.ts";

const socketName = ".s.PGSQL.5432";

/** A way to a database that the test can cut, swallow the answers of, and open again. */
export type DatabaseProxy = {
  /** For `openDatabase`. */
  address: SocketAddress;
  /** Ends every connection and takes no new ones. */
  cut(): void;
  /** Takes connections again. */
  restore(): Promise<void>;
  /** Hands on what clients ask and keeps what they are answered; `true` swallows it, `false` hands on again. */
  swallow(isSwallowing: boolean): void;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Opens a proxy before a database of the tests. */
export async function openDatabaseProxy(target: SocketAddress): Promise<DatabaseProxy> {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-proxy-"));
  const path = join(directory, socketName);
  const pairs = new Set<[Socket, Socket]>();
  let server: Server | null = null;
  let isSwallowing = false;

  async function listen(): Promise<void> {
    rmSync(path, { force: true });
    server = createServer((client) => {
      const database = connect(join(target.host, socketName));
      const pair: [Socket, Socket] = [client, database];
      pairs.add(pair);
      const end = () => {
        pairs.delete(pair);
        client.destroy();
        database.destroy();
      };
      for (const socket of pair) socket.on("close", end).on("error", end);
      client.on("data", (chunk) => database.write(chunk));
      database.on("data", (chunk) => {
        if (!isSwallowing) client.write(chunk);
      });
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once("error", reject).listen(path, resolve);
    await promise;
  }

  function cut(): void {
    server?.close();
    rmSync(path, { force: true });
    for (const [client, database] of [...pairs]) {
      client.destroy();
      database.destroy();
    }
  }

  await listen();
  return {
    address: { ...target, host: directory },
    cut,
    restore: listen,
    swallow: (next) => {
      isSwallowing = next;
    },
    async [Symbol.asyncDispose]() {
      cut();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
