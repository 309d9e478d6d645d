import type { EngineAddress } from "./engine-address.ts";
import { isRecord } from "./entry.ts";

type Asked = {
  body?: Record<string, unknown>;
  /** Statuses that are answers and not faults, besides 2xx. */
  fine?: number[];
  /** Null waits as long as the signal allows. */
  timeoutMs?: number | null;
  signal?: AbortSignal;
};

export type EngineAnswer = { status: number; bytes: Uint8Array; json: unknown };
export type EngineRequest = (method: string, path: string, asked: Asked) => Promise<EngineAnswer>;

const timeoutMs = 30_000;
const answerBytesMax = 8 * 1024 * 1024;

/** Sends single requests to an engine until `life` fires. Throws with the engine's own reason, or why there is no engine and what to do. */
export function engineRequest(address: EngineAddress, life: AbortSignal | null): EngineRequest {
  return async (method, path, asked) => {
    const limit = asked.timeoutMs === undefined ? timeoutMs : asked.timeoutMs;
    const signals = [life ?? [], asked.signal ?? [], limit === null ? [] : AbortSignal.timeout(limit)].flat();
    const init: RequestInit = { method, signal: AbortSignal.any(signals) };
    if (asked.body !== undefined) {
      init.headers = { "content-type": "application/json" };
      init.body = JSON.stringify(asked.body);
    }
    const response = await engineFetch(address, path, init);
    const bytes = await readAll(response, address);
    const json = parse(bytes);
    if (response.ok || asked.fine?.includes(response.status)) return { status: response.status, bytes, json };
    throw new Error(`the engine answered ${response.status}: ${engineMessage(json, bytes)}`);
  };
}

/** One request over the engine's socket or address; throws with the fix when nobody answers there. */
export async function engineFetch(address: EngineAddress, path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(`${address.baseUrl}${path}`, {
      ...init,
      proxy: false,
      redirect: "manual",
      // Waiting for a container's end may take as long as the server runs.
      timeout: false,
      ...(address.socket === null ? {} : { unix: address.socket }),
    });
  } catch (cause) {
    throw unreachable(address, cause);
  }
}

function unreachable(address: EngineAddress, cause: unknown): Error {
  if (!(cause instanceof Error)) return new Error(`the container engine at ${address.shown} failed`, { cause });
  const code = "code" in cause ? cause.code : "";
  const at = `the container engine at ${address.shown}`;
  const fixes: Record<string, string> = {
    ENOENT: "is not there: start Docker or Podman, or correct DOCKER_HOST",
    ECONNREFUSED: "does not listen: start Docker or Podman, or correct DOCKER_HOST",
    EACCES: "may not be used by this account: add it to the group of the socket, or use a rootless engine",
    ECONNRESET: "broke off its answer",
  };
  if (cause.name === "TimeoutError") return new Error(`${at} did not answer in time`, { cause });
  return new Error(`${at} ${fixes[String(code)] ?? `failed: ${cause.message}`}`, { cause });
}

async function readAll(response: Response, address: EngineAddress): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of response.body ?? []) {
      size += piece.byteLength;
      if (size > answerBytesMax) throw new Error(`its answer has more than ${answerBytesMax} bytes`);
      pieces.push(piece);
    }
  } catch (cause) {
    throw unreachable(address, cause);
  }
  return Buffer.concat(pieces);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // Logs and empty answers are not JSON; whoever needs a field finds none.
    return null;
  }
}

/** What an engine says in an error: Docker in `message`, Podman with its `cause` beside it. */
function engineMessage(json: unknown, bytes: Uint8Array): string {
  const message = isRecord(json) && typeof json.message === "string" ? json.message : new TextDecoder().decode(bytes);
  return message.trim().slice(0, 1_000) || "no reason given";
}
