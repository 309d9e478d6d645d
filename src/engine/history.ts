import type { Failure } from "../runners/contract.ts";
import type { Ending } from "./ending.ts";

/** An event before it has its number. `data` is JSON text. */
export type NewEvent = { kind: string; task: number; data: string };

/** One that may know when it happened; else it happened when it was written. */
export type TimedEvent = NewEvent & { at?: string };

/** A result of more characters than this is not repeated in the history: it is read from the job. */
const resultCharsMax = 65_536;

export function statusEvent(task: number, status: string, more: Record<string, unknown> = {}): NewEvent {
  return { kind: "status", task, data: JSON.stringify({ status, ...more }) };
}

/** The lines that an ending adds to the job's history. `jobEnds` is false between the links of a chain. */
export function endingEvents(task: number, ending: Ending, jobEnds: boolean): NewEvent[] {
  if (ending.kind === "again") {
    const why = { reason: ending.outcome, ...(ending.error ? { error: ending.error } : {}) };
    return [statusEvent(task, "queued", { ...why, ...(ending.delayS > 0 ? { delay_s: ending.delayS } : {}) })];
  }
  const events: NewEvent[] = [];
  if (jobEnds) events.push(statusEvent(task, ending.status, withError(ending.error)));
  if (ending.status === "succeeded") events.push(resultEvent(task, ending.outputJson ?? "null"));
  if (jobEnds) events.push(completedEvent(task, ending.status, ending.error));
  return events;
}

/** How events are kept in a row of `events`. */
export function linesJson(events: readonly TimedEvent[]): string {
  const lines = events.map(
    ({ kind, task, data, at }) => `{"k":"${kind}","t":${task},${at === undefined ? "" : `"at":"${at}",`}"d":${data}}`,
  );
  return `[${lines.join(",")}]`;
}

export function completedEvent(task: number, status: string, error: Failure | null): NewEvent {
  return { kind: "completed", task, data: JSON.stringify({ status, ...withError(error) }) };
}

function resultEvent(task: number, outputJson: string): NewEvent {
  const fits = outputJson.length <= resultCharsMax;
  return {
    kind: "result",
    task,
    data: fits ? `{"output":${outputJson}}` : `{"truncated":true,"chars":${outputJson.length}}`,
  };
}

function withError(error: Failure | null): Record<string, unknown> {
  return error === null ? {} : { error };
}
