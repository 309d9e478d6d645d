import type { Sql } from "../db/client.ts";
import { updatePayload } from "../engine/payloads.ts";
import type { FileStore } from "../files/store.ts";
import type { RunFiles } from "./run-task.ts";

/** Runs work in their payload's directory; what they leave there is described in its row before their end is recorded. */
export function payloadFiles(sql: Sql, files: FileStore): RunFiles {
  return {
    async before(task) {
      return task.payloadId === null ? null : files.workDirectory(task.payloadId);
    },
    async after(task) {
      if (task.payloadId === null) return;
      const manifest = await files.publish(task.payloadId);
      await updatePayload(sql, task.payloadId, {
        files: manifest.files.length,
        bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
        manifestJson: JSON.stringify(manifest),
      });
    },
  };
}
