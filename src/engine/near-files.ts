import type { Engine } from "./context.ts";
import type { Submission, TaskSpec } from "./submission.ts";

/** Runners that work in the payload's directory. */
const withFiles = new Set<TaskSpec["runner"]>(["script", "automation"]);

/** Where files lie on one disk alone, the work on them asks for a node that has it. */
export function nearFiles({ disk }: Pick<Engine, "disk">, submission: Submission): Submission {
  if (disk === null || submission.payload === undefined) return submission;
  const tasks = submission.tasks.map((task) => {
    if (!withFiles.has(task.runner)) return task;
    const { requires } = task;
    return { ...task, requires: { ...requires, tags: [...(requires?.tags ?? []), disk] } };
  });
  return { ...submission, tasks };
}
