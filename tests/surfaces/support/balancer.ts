import { until } from "../../support/until.ts";

/*
 * A load balancer as the original is to its workers: it looks at `/health`, then connects to the socket, and decodes both
 * strictly, so that a worker it could not use fails the test.
 */

export type Slots = { used: number; available: number; limit: number; queue: number };
export type Push = {
  status: string;
  slots: Slots;
  system: { uptime: number; usedMemoryPercent: number; cpuLoad: number };
  services: { name: string; status: string; state: string }[];
};
export type Worker = {
  status: string;
  group: string;
  contract: number;
  websocketPort: number;
  functions: { name: string; params: object }[];
};

export type Balancer = {
  send(text: string): void;
  /** Sends `ping` and waits for its answer. */
  ping(): Promise<{ status: string; slots: Slots }>;
  /** The first push from now on, or the last one, that is as wanted. */
  state(isWanted: (push: Push) => boolean): Promise<Push>;
  pushes(): Push[];
  /** How many answers to pings came. */
  answers(): number;
  [Symbol.asyncDispose](): Promise<void>;
};

/** `GET /health` with the balancer's key. */
export async function discover(url: string, lbKey: string): Promise<Worker> {
  const response = await fetch(`${url}/health`, { headers: { "x-lb-auth": lbKey } });
  if (response.status !== 200) throw new Error(`The worker is unreachable: ${response.status}`);
  const body = (await response.json()) as Record<string, unknown>;
  const { status, group, contract, websocketPort, functions } = body;
  if (typeof status !== "string" || typeof group !== "string") throw new Error("no status or group");
  if (typeof contract !== "number" || typeof websocketPort !== "number") throw new Error("no contract or port");
  if (!Array.isArray(functions)) throw new Error("no functions");
  return { status, group, contract, websocketPort, functions };
}

/** Connects as a balancer does: the key is the subprotocol, the path that of the worker's URL. */
export async function connectBalancer(url: string, port: number, lbKey: string): Promise<Balancer> {
  const socket = new WebSocket(`ws://${new URL(url).hostname}:${port}${new URL(url).pathname}`, [lbKey]);
  const pushes: Push[] = [];
  const answers: { status: string; slots: Slots }[] = [];
  const faults: unknown[] = [];
  socket.addEventListener("message", ({ data }) => {
    try {
      const message = decode(String(data));
      if ("system" in message) pushes.push(message);
      else answers.push(message);
    } catch (fault) {
      faults.push(fault);
    }
  });
  socket.addEventListener("close", ({ code, reason }) => faults.push(new Error(`closed: ${code} ${reason}`)));
  await until("the socket is open", () => socket.readyState === WebSocket.OPEN);
  if (socket.protocol !== lbKey) throw new Error(`the subprotocol is ${socket.protocol}`);
  const wait = <T>(what: string, look: () => T) =>
    until(what, () => {
      if (faults.length > 0) throw faults[0];
      return look();
    });
  await wait("the worker tells its slots", () => pushes.length > 0);
  return {
    send: (text) => socket.send(text),
    async ping() {
      const count = answers.length;
      socket.send("ping");
      return wait("the ping is answered", () => answers[count]);
    },
    state: async (isWanted) => wait("the worker tells what is wanted", () => pushes.slice(-1).find(isWanted)),
    pushes: () => pushes,
    answers: () => answers.length,
    async [Symbol.asyncDispose]() {
      socket.close();
      await until("the socket is closed", () => socket.readyState === WebSocket.CLOSED);
    },
  };
}

function decode(text: string): Push | { status: string; slots: Slots } {
  const message = JSON.parse(text) as Record<string, unknown>;
  const keys = Object.keys(message).join();
  if (!["status,slots,system,services", "status,slots"].includes(keys)) throw new Error(`unknown message ${text}`);
  if (!["ready", "maintenance"].includes(String(message["status"]))) throw new Error(`unknown status ${text}`);
  requireNumbers(message["slots"], "used,available,limit,queue");
  if ("system" in message) requireNumbers(message["system"], "uptime,usedMemoryPercent,cpuLoad");
  return message as Push;
}

function requireNumbers(value: unknown, keys: string): void {
  if (typeof value !== "object" || value === null || Object.keys(value).join() !== keys)
    throw new Error(`${JSON.stringify(value)} is not ${keys}`);
  if (!Object.values(value).every(Number.isFinite)) throw new Error(`${JSON.stringify(value)} has no numbers`);
}
