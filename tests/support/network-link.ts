import { createServer, connect, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { SocketAddress } from "./cluster.ts";

/**
 * What a link does with connections. `cut` ends them and takes no new ones; `stalled` keeps every byte back until it is open again;
 * `half-open` ends the database's side and leaves the client's open and silent for ever, as a firewall that forgets a connection does.
 */
export type LinkState = "open" | "cut" | "stalled" | "half-open";

/** A TCP way to a database, which the test disturbs. */
export type NetworkLink = {
  /** For `DATABASE_URL`. */
  url: string;
  state: LinkState;
  [Symbol.asyncDispose](): Promise<void>;
};

const socketName = ".s.PGSQL.5432";

type Pair = { client: Socket; database: Socket; isForgotten: boolean; held: (() => void)[] };

/** Opens a link to a database of the tests. */
export async function openNetworkLink(target: SocketAddress): Promise<NetworkLink> {
  const pairs = new Set<Pair>();
  let state: LinkState = "open";
  const server = createServer((client) => {
    if (state === "cut") client.destroy();
    else pairs.add(joined(client, target.host, pairs, () => state));
  });
  const port = await listen(server);
  return {
    url: `postgres://${target.username}@127.0.0.1:${port}/${target.database}`,
    get state() {
      return state;
    },
    set state(next) {
      state = next;
      for (const pair of [...pairs]) disturb(pair, next);
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const { client, database } of [...pairs]) for (const socket of [client, database]) socket.destroy();
    },
  };
}

/** Joins a client with the database. Neither outlives the other, unless the link has forgotten them. */
function joined(client: Socket, directory: string, pairs: Set<Pair>, stateNow: () => LinkState): Pair {
  const database = connect(join(directory, socketName));
  const pair: Pair = { client, database, isForgotten: stateNow() === "half-open", held: [] };
  const pass = (to: Socket) => (chunk: Buffer) => {
    if (pair.isForgotten) return;
    if (stateNow() === "stalled") pair.held.push(() => to.write(chunk));
    else to.write(chunk);
  };
  client.on("data", pass(database));
  database.on("data", pass(client));
  const end = () => {
    database.destroy();
    if (pair.isForgotten && !client.destroyed) return;
    client.destroy();
    pairs.delete(pair);
  };
  for (const socket of [client, database]) socket.on("error", () => socket.destroy());
  database.on("close", end);
  client.on("close", () => {
    pair.isForgotten = false;
    end();
  });
  return pair;
}

function disturb(pair: Pair, state: LinkState): void {
  switch (state) {
    case "open":
      for (const write of pair.held.splice(0)) write();
      break;
    case "cut":
      pair.isForgotten = false;
      pair.client.destroy();
      break;
    case "half-open":
      pair.isForgotten = true;
      pair.database.destroy();
      break;
    case "stalled":
      break;
    default:
      state satisfies never;
  }
}

async function listen(server: Server): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the link has no port");
  return address.port;
}
