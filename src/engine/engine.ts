import type { Database } from "../db/client.ts";
import type { Queue } from "../queue/boss.ts";
import type { Engine } from "./context.ts";
import type { Render } from "./deliveries.ts";
import { Hub } from "./hub.ts";
import { createNeedBook } from "./need-book.ts";
import { createOutputNotices } from "./output-notices.ts";
import { createTally } from "./tally.ts";

/** An engine on an installed database. The worker of this node, if there is one, is set as `lane` afterwards. */
export function createEngine(options: {
  db: Database;
  queue: Queue;
  nodeId: string;
  queueMax: number;
  disk?: string | null;
  renders: Record<string, Render>;
}): Engine {
  const engine: Engine = {
    ...options,
    disk: options.disk ?? null,
    self: crypto.randomUUID(),
    hub: new Hub(),
    needs: createNeedBook(options.db.lease, options.queue),
    lane: null,
    onDelivery: () => undefined,
    onOutput: () => undefined,
    onStop: () => undefined,
    // Until the first renewal tells, others are assumed to listen.
    view: {
      ...{ clockAheadMs: 0, wroteAtMs: Number.NEGATIVE_INFINITY, hasPeers: true, waiting: 0, paused: new Set() },
      ...{ draining: false, maintenance: false, idlePeers: {} },
    },
    tally: createTally(),
  };
  engine.onOutput = createOutputNotices(engine).note;
  return engine;
}
