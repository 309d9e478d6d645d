import type { Sql } from "../db/client.ts";
import { ownsTask, updatePayload } from "../engine/payloads.ts";
import type { FileStore } from "../files/store.ts";
import type { RunFiles } from "./run-task.ts";

/** Runs work in their payload's directory; what they leave there is described in its row before their end is recorded. */
export function payloadFiles(sql: Sql, files: FileStore): RunFiles {
  return {
    async before(task) {
      return task.payloadId === null ? null : files.workDirectory(task.payloadId);
    },
    async after(task) {
      if (task.payloadId === null || !(await ownsTask(sql, task))) return;
      const manifest = await files.publish(task.payloadId);
      const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
      const now = { files: manifest.files.length, bytes, manifestJson: JSON.stringify(manifest) };
      await updatePayload(sql, task.payloadId, now, task.runId);
    },
  };
}
