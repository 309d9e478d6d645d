import { visitDatabase, visitOwnDatabase } from "./app-visit.ts";
import type { Config } from "./config.ts";
import { pendingSql, schemaState } from "./db/migrate.ts";
import { install } from "./engine/install.ts";
import { EngineError } from "./errors.ts";
import { requireBackend } from "./queue/backend.ts";
import { queuePlan } from "./queue/plan.ts";

/** Brings the database to this version; resolves with what it was. Throws `EngineError("unavailable")` when it is newer. */
export async function migrate(config: Config): Promise<"current" | "missing" | "behind"> {
  return visitOwnDatabase(config, async ({ sql }) => {
    await requireBackend(sql, config.queueBackend);
    const before = await schemaState(sql);
    if (before === "ahead") throw newerSchema();
    await install(sql, config.queueBackend);
    return before;
  });
}

/** The SQL that `migrate` would run, with where each part comes from; empty when there is nothing to do. */
export async function migrationPlan(config: Config): Promise<string[]> {
  return visitDatabase(config, async ({ sql }) => {
    await requireBackend(sql, config.queueBackend);
    if ((await schemaState(sql)) === "ahead") throw newerSchema();
    const own = await pendingSql(sql);
    const queue = await queuePlan(sql, config.queueBackend);
    return [
      ...own.map((text) => `-- Tables of Fairlead\n${closed(text)}`),
      ...(queue === null ? [] : [`-- Schema of pg-boss, and then its queues\n${closed(queue)}`]),
    ];
  });
}

function closed(text: string): string {
  return text.trimEnd().endsWith(";") ? text.trimEnd() : `${text.trimEnd()};`;
}

function newerSchema(): EngineError {
  return new EngineError(
    "unavailable",
    "The database was migrated by a newer version of Fairlead: run that version, or restore a backup",
  );
}
