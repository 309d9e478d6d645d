import type { EngineAddress } from "./engine-address.ts";
import { engineRequest } from "./engine-request.ts";
import { demultiplex } from "./engine-logs.ts";
import { pullImage } from "./engine-pull.ts";
import { isRecord } from "./entry.ts";

export type EngineContainer = {
  isRunning: boolean;
  exitCode: number;
  ranOutOfMemory: boolean;
  /** Published ports of the machine by the port inside. */
  ports: Map<number, number>;
};

/**
 * The part of the Docker Engine API that Docker and Podman share and image containers need. Requests are bounded in time and
 * size; they throw with a reason that names the engine and, where it is the engine that is missing, the fix.
 */
export type EngineApi = {
  readonly address: EngineAddress;
  hasImage(image: string): Promise<boolean>;
  /** `onProgress` gets a line at most once a second. */
  pull(image: string, onProgress: (text: string) => void, signal: AbortSignal): Promise<void>;
  /** Resolves with the engine's id of the container. `body` is the one of `POST /containers/create`. */
  create(name: string, body: Record<string, unknown>): Promise<string>;
  start(id: string): Promise<void>;
  /** Null when there is no such container. */
  inspect(id: string): Promise<EngineContainer | null>;
  /** Resolves when the container has ended. */
  wait(id: string, signal: AbortSignal): Promise<void>;
  /** The last lines of its output. */
  logTail(id: string, lines: number): Promise<string>;
  /** TERM, then KILL after `graceS`, then gone. Fine when there is no such container. */
  remove(id: string, graceS: number): Promise<void>;
  /** Ids of all containers with this label, ended ones too. */
  labelled(label: string): Promise<string[]>;
};

const removeS = 10;

/**
 * `life` ends every request but those that remove something.
 * Paths carry no version: engines answer them with their own, and each generation refuses some numbers of the others.
 */
export function createEngineApi(address: EngineAddress, life: AbortSignal): EngineApi {
  const request = engineRequest(address, life);
  const lasting = engineRequest(address, null);
  const path = (id: string) => `/containers/${encodeURIComponent(id)}`;
  return {
    address,
    hasImage: async (image) => (await request("GET", `/images/${image}/json`, { fine: [404] })).status === 200,
    pull: (image, onProgress, signal) => pullImage(address, { image, onProgress, signal }),
    create: async (name, body) => {
      const created = await request("POST", `/containers/create?name=${encodeURIComponent(name)}`, { body });
      const id = isRecord(created.json) ? created.json.Id : undefined;
      if (typeof id !== "string") throw new Error(`${address.shown} created a container without an id`);
      return id;
    },
    start: async (id) => void (await request("POST", `${path(id)}/start`, { fine: [304] })),
    inspect: async (id) => {
      const found = await request("GET", `${path(id)}/json`, { fine: [404] });
      return found.status === 404 ? null : readContainer(found.json);
    },
    wait: async (id, signal) => void (await request("POST", `${path(id)}/wait`, { signal, timeoutMs: null })),
    logTail: async (id, lines) => {
      const { bytes } = await request("GET", `${path(id)}/logs?stdout=1&stderr=1&tail=${lines}`, { fine: [404, 409] });
      return demultiplex(bytes);
    },
    remove: async (id, graceS) => {
      const timeoutMs = (graceS + removeS) * 1_000;
      if (graceS > 0) await lasting("POST", `${path(id)}/stop?t=${graceS}`, { fine: [304, 404], timeoutMs });
      await lasting("DELETE", `${path(id)}?force=true&v=true`, { fine: [404, 409], timeoutMs });
    },
    labelled: async (label) => {
      const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
      const { json } = await request("GET", `/containers/json?all=true&filters=${filters}`, {});
      return Array.isArray(json) ? json.flatMap((entry) => (isRecord(entry) ? [String(entry.Id)] : [])) : [];
    },
  };
}

function readContainer(json: unknown): EngineContainer {
  const state = isRecord(json) && isRecord(json.State) ? json.State : {};
  const network = isRecord(json) && isRecord(json.NetworkSettings) ? json.NetworkSettings : {};
  return {
    isRunning: state.Running === true,
    exitCode: typeof state.ExitCode === "number" ? state.ExitCode : 0,
    ranOutOfMemory: state.OOMKilled === true,
    ports: readPorts(isRecord(network.Ports) ? network.Ports : {}),
  };
}

function readPorts(published: Record<string, unknown>): Map<number, number> {
  const ports = new Map<number, number>();
  for (const [inside, bindings] of Object.entries(published)) {
    const first: unknown = Array.isArray(bindings) ? bindings[0] : undefined;
    if (isRecord(first)) ports.set(Number.parseInt(inside, 10), Number(first.HostPort));
  }
  return ports;
}
