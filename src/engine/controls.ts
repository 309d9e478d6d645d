import { EngineError } from "../errors.ts";
import type { Engine } from "./context.ts";
import { announceAlways } from "./notify.ts";
import { type QueueName, queueNames } from "./queues.ts";

/** Nothing more of this queue begins, on any node, until it is resumed. `by` is who asked. Throws `not_found`. */
export async function pauseQueue(engine: Engine, name: string, by: string): Promise<QueueName> {
  const queue = queueOf(name);
  await engine.db.sql`INSERT INTO pauses (queue, by) VALUES (${queue}, ${by}) ON CONFLICT (queue) DO NOTHING`;
  await announceAlways(engine.db.sql, [{ kind: "pauses" }]);
  return queue;
}

/** Throws `not_found`. A queue that is not paused is no error. */
export async function resumeQueue(engine: Engine, name: string): Promise<QueueName> {
  const queue = queueOf(name);
  await engine.db.sql`DELETE FROM pauses WHERE queue = ${queue}`;
  await announceAlways(engine.db.sql, [{ kind: "pauses" }]);
  return queue;
}

/** The node begins nothing more; what runs there goes on. Until it is resumed or its process starts anew. Throws `not_found`. */
export async function drainNode(engine: Engine, id: string): Promise<void> {
  await setNode(engine, id, "draining = true");
}

/** The node begins work again, whether it was drained or in maintenance. Throws `not_found`. */
export async function resumeNode(engine: Engine, id: string): Promise<void> {
  await setNode(engine, id, "draining = false, maintenance = false");
}

async function setNode(engine: Engine, id: string, change: string): Promise<void> {
  const rows = await engine.db.sql.unsafe(`UPDATE nodes SET ${change} WHERE id = $1 RETURNING id`, [id]);
  if (rows.length === 0) throw new EngineError("not_found", `There is no node ${id}`);
  await announceAlways(engine.db.sql, [{ kind: "nodes" }]);
}

function queueOf(name: string): QueueName {
  const found = queueNames.find((queue) => queue === name);
  if (found === undefined)
    throw new EngineError("not_found", `There is no queue ${name}; there are ${queueNames.join(", ")}`);
  return found;
}
