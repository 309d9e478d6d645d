import { openDatabase } from "../../src/db/client.ts";
import { cancel } from "../../src/engine/cancel.ts";
import { createEngine } from "../../src/engine/engine.ts";
import { createAppender } from "../../src/engine/events.ts";
import { createFinisher } from "../../src/engine/finish.ts";
import type { LeaseTimes } from "../../src/engine/lease.ts";
import type { Submission } from "../../src/engine/submission.ts";
import { createSubmitter } from "../../src/engine/submit.ts";
import { createLog } from "../../src/log.ts";
import { Queue } from "../../src/queue/boss.ts";
import { Node } from "../../src/worker/node.ts";
import { Worker } from "../../src/worker/worker.ts";
import type { SocketAddress } from "../support/cluster.ts";
import { testRenders } from "../support/engine.ts";
import { createWork } from "./work.ts";
import { withoutFence } from "./without-fence.ts";

/** What a server of the harness is told, as JSON in its only argument. */
export type ChildOptions = {
  address: SocketAddress;
  nodeId: string;
  slots: number;
  lease: LeaseTimes;
  /** False: results are recorded whoever owns the task by then. */
  isFenced: boolean;
};

/** One server of the harness: engine, worker and node, and as much HTTP as it takes to submit and to cancel. */
const options: ChildOptions = JSON.parse(Bun.argv[2] ?? "");
const opened = openDatabase(options.address);
const db = options.isFenced ? opened : withoutFence(opened);
const queue = await Queue.open(db.sql);
const engine = createEngine({ db, queue, nodeId: options.nodeId, queueMax: 1_000_000, renders: testRenders });
const submitter = createSubmitter(engine);
const log = createLog({ level: "warn", maxLines: 0 });
const work = createWork(options);
const worker = new Worker({
  engine,
  finisher: createFinisher(engine),
  appender: createAppender(engine),
  log,
  runners: [{ runner: work, slots: options.slots }],
  canRun: () => true,
});
const node = new Node({
  engine,
  worker,
  log,
  lease: options.lease,
  state: () => ({ capabilities: {}, slots: worker.slots(), region: "", version: "chaos", lastClaimAtMs: null }),
});
engine.lane = worker;
engine.onStop = (jobId) => worker.stop(jobId, "cancelled");
await node.start();
worker.start();
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  routes: {
    "/submit": async (request) => {
      const submission = (await request.json()) as Submission;
      return Response.json(await submitter.submit(submission));
    },
    "/cancel/:id": async (request) => Response.json(await cancel(engine, request.params.id)),
  },
  error: (fault) => Response.json(fault.message, { status: 503 }),
});
console.log(JSON.stringify({ port: server.port }));
