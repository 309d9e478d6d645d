import type { EngineAddress } from "./engine-address.ts";
import { engineFetch } from "./engine-request.ts";
import { isRecord } from "./entry.ts";

type Pull = { image: string; onProgress: (text: string) => void; signal: AbortSignal; idleMs?: number };
type Layers = Map<string, { current: number; total: number }>;

const reportEveryMs = 1_000;
const lineCharsMax = 1_048_576;
const bytesPerMb = 1_048_576;

/**
 * Pulls an image and tells how far it is. Throws with the registry's reason, also when nothing came for `idleMs` (two minutes).
 * Private registries work as far as the engine itself is logged in to them.
 */
export async function pullImage(address: EngineAddress, pull: Pull): Promise<void> {
  const idle = new AbortController();
  const idleMs = pull.idleMs ?? 120_000;
  const late = () => idle.abort(new Error(`nothing came for ${idleMs / 1_000} s`));
  let timer = setTimeout(late, idleMs);
  const report = reporter(pull);
  try {
    const path = `/images/create?fromImage=${encodeURIComponent(withTag(pull.image))}`;
    const signal = AbortSignal.any([pull.signal, idle.signal]);
    const response = await engineFetch(address, path, { method: "POST", signal });
    for await (const line of lines(response)) {
      clearTimeout(timer);
      timer = setTimeout(late, idleMs);
      take(line, report);
    }
    if (!response.ok) throw new Error(`the engine answered ${response.status}`);
  } catch (cause) {
    throw new Error(cannotPull(pull.image, idle.signal.aborted ? idle.signal.reason : cause), { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** Without a tag an engine would pull every tag there is. */
function withTag(image: string): string {
  const last = image.slice(image.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? image : `${image}:latest`;
}

function take(line: string, report: (event: Record<string, unknown>) => void): void {
  const event: unknown = line.trim() === "" ? null : JSON.parse(line);
  if (!isRecord(event)) return;
  const reason = event.error ?? event.message;
  if (typeof reason === "string") throw new Error(reason.slice(0, 1_000));
  report(event);
}

function reporter({ image, onProgress }: Pull): (event: Record<string, unknown>) => void {
  const layers: Layers = new Map();
  let reportedAt = Number.NEGATIVE_INFINITY;
  return (event) => {
    const detail = isRecord(event.progressDetail) ? event.progressDetail : {};
    if (event.status === "Downloading" && typeof event.id === "string") {
      layers.set(event.id, { current: Number(detail.current ?? 0), total: Number(detail.total ?? 0) });
    }
    if (performance.now() - reportedAt < reportEveryMs) return;
    reportedAt = performance.now();
    onProgress(`pulling ${image}: ${amount(layers) ?? String(event.status ?? "started")}`);
  };
}

function amount(layers: Layers): string | null {
  if (layers.size === 0) return null;
  const sum = { current: 0, total: 0 };
  for (const { current, total } of layers.values()) {
    sum.current += current;
    sum.total += total;
  }
  return `${(sum.current / bytesPerMb).toFixed(1)} of ${(sum.total / bytesPerMb).toFixed(1)} MiB`;
}

async function* lines(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of response.body ?? []) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > lineCharsMax) throw new Error("the engine sent a line without an end");
    yield* parts;
  }
  yield rest;
}

function cannotPull(image: string, cause: unknown): string {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return `the image ${image} is not here and cannot be pulled (${reason}): correct \`image\`, or load it into the engine by hand`;
}
