import { setTimeout as pause } from "node:timers/promises";
import type { EngineApi } from "./engine-api.ts";

type Engined = { engine: EngineApi; engineId: string };

const logLines = 20;
const logCharsMax = 1_000;

/** Why a container is not running any more, with the end of what it wrote; null while it runs. Throws when the engine does not say. */
export async function endReason(container: Engined): Promise<string | null> {
  const found = await container.engine.inspect(container.engineId);
  if (found === null) return "was removed by somebody else";
  if (found.isRunning) return null;
  const how = found.ranOutOfMemory ? "ran out of memory and was killed" : `exited with ${found.exitCode}`;
  const said = await lastLines(container);
  return said === "" ? `${how} and wrote nothing` : `${how}; its last lines: ${said}`;
}

/** The same, and null also when the engine says nothing within `withinMs` or before `signal` fires. */
export async function endReasonWithin(
  container: Engined,
  withinMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const over = new AbortController();
  const late = pause(withinMs, null, { signal: AbortSignal.any([signal, over.signal]) });
  try {
    return await Promise.race([endReason(container), late]);
  } catch {
    // An engine that is away explains nothing, and a link whose time is over needs no explanation.
    return null;
  } finally {
    over.abort();
  }
}

/** The end of what a container wrote, short enough for a message. */
export async function lastLines({ engine, engineId }: Engined): Promise<string> {
  return (await engine.logTail(engineId, logLines)).trim().slice(-logCharsMax);
}
