import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { ImageContainer } from "./definition.ts";
import type { EngineApi } from "./engine-api.ts";
import { endReason, lastLines } from "./image-end.ts";
import { imageBody } from "./image-body.ts";
import type { ImageTimings, RunningImage } from "./image-state.ts";
import { answers } from "./probe.ts";

type Start = {
  image: ImageContainer;
  engine: EngineApi;
  node: string;
  timings: ImageTimings;
  /** Lines for whoever waits: pulling, starting. */
  report: (text: string) => void;
  signal: AbortSignal;
};

/** Pulls the image when it is missing, starts a container of it and waits for its first answer. Throws with the reason; nothing is left then. */
export async function startImage(start: Start): Promise<RunningImage> {
  const { image, engine, report, signal } = start;
  if (!(await engine.hasImage(image.image))) await engine.pull(image.image, report, signal);
  signal.throwIfAborted();
  report(`starting ${image.image}`);
  const engineId = await engine.create(containerName(image.id), imageBody(image, start.node, engine.address));
  try {
    await engine.start(engineId);
    return await comeUp(start, engineId);
  } catch (fault) {
    // What cannot be removed now is found by its label at the next start; the fault is what matters here.
    await engine.remove(engineId, 0).catch(() => undefined);
    throw fault;
  }
}

async function comeUp(start: Start, engineId: string): Promise<RunningImage> {
  const { image, engine, timings, signal } = start;
  const url = await publishedUrl(start, engineId);
  const deadline = performance.now() + image.startupS * 1_000;
  while (performance.now() < deadline) {
    if (await answers(url, signal, timings.probeTimeoutMs)) {
      return { engine, engineId, url, gone: new AbortController(), end: Promise.withResolvers<string>() };
    }
    const ended = await endReason({ engine, engineId });
    if (ended !== null) throw new Error(`${ended} (while it was starting)`);
    await pause(timings.probeEveryMs, undefined, { signal });
  }
  const said = await lastLines({ engine, engineId });
  const late = `gave no answer on its port ${image.port} within ${image.startupS} s: correct \`port\`, or raise \`startup_s\``;
  throw new Error(said === "" ? late : `${late}; its last lines: ${said}`);
}

async function publishedUrl({ image, engine }: Start, engineId: string): Promise<string> {
  const found = await engine.inspect(engineId);
  const port = found?.ports.get(image.port);
  if (port !== undefined && port > 0) return `http://${engine.address.publishedOn}:${port}`;
  const ended = await endReason({ engine, engineId });
  throw new Error(
    ended === null ? `the engine published no port for ${image.port}` : `${ended} (while it was starting)`,
  );
}

function containerName(id: string): string {
  const plain = id.replace(/[^A-Za-z0-9_.-]/g, "-").slice(0, 60);
  return `fairlead-${plain}-${randomBytes(6).toString("hex")}`;
}
