import { constants } from "node:os";
import type { Job } from "../client.ts";

/** What a shell adds to the number of the signal that ended a program. */
const signalBase = 128;

/** The exit code of whoever ran the job: its own, 128 + n for signal n, 1 for any other end but success. */
export function exitCodeOf({ status, tasks }: Pick<Job, "status" | "tasks">): number {
  if (status === "succeeded") return 0;
  const run = (tasks.find((task) => task.error !== null) ?? tasks.at(-1))?.run;
  if (run?.exit_code != null && run.exit_code !== 0) return run.exit_code;
  const signal = Object.entries(constants.signals).find(([name]) => name === run?.signal)?.[1];
  return signal === undefined ? 1 : signalBase + signal;
}
