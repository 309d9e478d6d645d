import type { Engine } from "./context.ts";
import { announceAlways } from "./notify.ts";

/** This node's maintenance: kept in its row, so that it survives a restart, and in force here at once. */
export async function setMaintenance(engine: Engine, on: boolean): Promise<void> {
  await engine.db.sql`UPDATE nodes SET maintenance = ${on} WHERE id = ${engine.nodeId}`;
  engine.view.maintenance = on;
  await announceAlways(engine.db.sql, [{ kind: "nodes" }]);
}
