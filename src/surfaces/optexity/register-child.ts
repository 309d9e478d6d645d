import type { Log } from "../../log.ts";
import { isFields } from "./field-checks.ts";

export type Registration = {
  /** Without `/task`. */
  metadataUri: string;
  serverUrl: string;
  /** The container's port whose host port is told to the master. */
  containerPort: number;
  log: Log;
  /** Before the second try, doubled each time up to `retryMaxMs`. */
  retryMs?: number;
  retryMaxMs?: number;
};

const timeoutMs = 30_000;
const retryMsUsual = 1_000;
const retryMaxMsUsual = 60_000;

/** Tells the master where this child is, again and again until it has accepted. Returns how to stop. */
export function registerChild(registration: Registration): () => Promise<void> {
  const stopping = new AbortController();
  const done = untilAccepted(registration, stopping.signal);
  return async () => {
    stopping.abort();
    await done;
  };
}

async function untilAccepted(registration: Registration, signal: AbortSignal): Promise<void> {
  const { log, retryMs = retryMsUsual, retryMaxMs = retryMaxMsUsual } = registration;
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      await register(registration, signal);
      log.info("registered with the master");
      return;
    } catch (fault) {
      if (signal.aborted) return;
      log.warn("the master has not registered this child yet", { fault });
    }
    await pause(Math.min(retryMs * 2 ** Math.min(tries, 20), retryMaxMs), signal);
  }
}

async function register({ metadataUri, serverUrl, containerPort }: Registration, signal: AbortSignal): Promise<void> {
  const bounded = () => AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const answer = await fetch(`${metadataUri.replace(/\/$/, "")}/task`, { signal: bounded(), redirect: "manual" });
  if (!answer.ok) throw new Error(`The task metadata answered ${answer.status}`);
  const body = childIn(await answer.json(), containerPort);
  const accepted = await fetch(new URL("register_child", serverUrl), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    redirect: "manual",
    signal: bounded(),
  });
  await accepted.body?.cancel();
  if (!accepted.ok) throw new Error(`The master answered ${accepted.status}`);
}

/** What the master is told. Throws `Error` that names what is missing in the metadata. */
export function childIn(
  metadata: unknown,
  containerPort: number,
): { task_arn: string; private_ip: string; port: number } {
  const taskArn = at(metadata, "TaskARN");
  const container = at(metadata, "Containers", 0);
  const privateIp = at(container, "Networks", 0, "IPv4Addresses", 0);
  const bindings = at(container, "NetworkBindings");
  const binding = Array.isArray(bindings)
    ? bindings.find((entry) => isFields(entry) && entry.containerPort === containerPort)
    : undefined;
  const port = at(binding, "hostPort");
  if (typeof taskArn !== "string") throw new Error("TaskARN not found in metadata");
  if (typeof privateIp !== "string") throw new Error("IPv4 address not found in metadata");
  if (typeof port !== "number") throw new Error("Host port not found in metadata");
  return { task_arn: taskArn, private_ip: privateIp, port };
}

function at(value: unknown, ...path: (string | number)[]): unknown {
  let found = value;
  for (const key of path) found = isFields(found) || Array.isArray(found) ? Reflect.get(found, key) : undefined;
  return found;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => resolve(), { once: true });
  return promise.finally(() => clearTimeout(timer));
}
