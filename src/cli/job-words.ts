import type { Job } from "../client.ts";

const targetsShownMax = 5;

/** What a job runs: names of functions, containers or an automation, or run.sh. */
export function whatOf({ tasks, runner }: Job): string {
  if (runner === "script") return "run.sh";
  const names = tasks.slice(0, targetsShownMax).map(({ target }) => target);
  return `${names.join(" > ")}${tasks.length > targetsShownMax ? " > …" : ""}`;
}

/** Why it waits, or why it failed; empty when there is nothing to say. */
export function noteOf({ waiting, error }: Job): string {
  if (waiting !== undefined)
    return waiting.position === null ? waiting.reason : `#${waiting.position}: ${waiting.reason}`;
  return error === null ? "" : error.code;
}

/** Milliseconds from the first start to the end, or until now; null before the start. */
export function tookMs({ started_at, finished_at }: Job): number | null {
  if (started_at === null) return null;
  return (finished_at === null ? Date.now() : Date.parse(finished_at)) - Date.parse(started_at);
}

/** `succeeded`, `failed: run.sh exited with code 3`. */
export function endOf({ status, error }: Pick<Job, "status" | "error">): string {
  return error === null || status === "succeeded" ? status : `${status}: ${error.message}`;
}
