import { lstat, mkdir, readdir, readlink, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";

const sweptAtOnce = 10_000;

/** Where a task's files are, in the document's words. All of them lie in the payload of its job. */
export type TaskDirectories = {
  save_directory: string;
  task_directory: string;
  logs_directory: string;
  downloads_directory: string;
  log_file_path: string;
};

/** `saveDirectory` is relative in answers: the layout of the machine is nobody's business. */
export function directoriesOf(saveDirectory: string, taskId: string): TaskDirectories {
  const task = join(saveDirectory, taskId);
  return {
    save_directory: saveDirectory,
    task_directory: task,
    logs_directory: join(task, "logs"),
    downloads_directory: join(task, "downloads"),
    log_file_path: join(task, "logs", "optexity.log"),
  };
}

/** Makes `<saveDirectory>/<taskId>` lead to the payload. What stands there under that name is left alone, unless it is a link. */
export async function linkTaskDirectory(saveDirectory: string, taskId: string, payload: string): Promise<void> {
  const path = join(saveDirectory, taskId);
  await mkdir(saveDirectory, { recursive: true, mode: 0o700 });
  const found = await lstat(path).catch(() => null); // Usually nothing is there.
  if (found !== null && !found.isSymbolicLink()) return;
  if (found !== null) await rm(path, { force: true });
  await symlink(relative(dirname(resolve(path)), resolve(payload)), path);
}

/** Removes the links of tasks whose payload is gone. */
export async function sweepTaskDirectories(saveDirectory: string): Promise<number> {
  const names = await readdir(saveDirectory).catch(() => []); // Before the first task there is no such directory.
  let removed = 0;
  for (const name of names.slice(0, sweptAtOnce)) {
    const path = join(saveDirectory, name);
    const target = await readlink(path).catch(() => null); // Not a link, or gone meanwhile.
    if (target === null) continue;
    const leads = await stat(path).catch(() => null); // A link that leads nowhere is what is looked for.
    if (leads !== null) continue;
    await rm(path, { force: true });
    removed += 1;
  }
  return removed;
}
