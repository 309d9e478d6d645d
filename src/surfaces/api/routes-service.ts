import { Elysia } from "elysia";
import { drainNode, pauseQueue, resumeNode, resumeQueue } from "../../engine/controls.ts";
import { readDeliveries, redeliver } from "../../engine/delivery-record.ts";
import { type NodeView, type QueueView, readNodes, readQueues } from "../../engine/overview.ts";
import { EngineError } from "../../errors.ts";
import { auth } from "../../http/auth.ts";
import type { Gate } from "../../http/gate.ts";
import { refuseWithProblem } from "../../http/problem.ts";
import type { ApiDeps } from "./deps.ts";
import * as described from "./describe-service.ts";
import { requireJobId } from "./read-job.ts";

const nameCharsMax = 300;
const deliveryIdShape = /^[A-Za-z0-9_-]{1,128}$/;

/** Deliveries, nodes, queues, and what can be run. */
export function serviceRoutes({ engine, targets }: ApiDeps, gate: Gate) {
  const { sql } = engine.db;
  return new Elysia({ name: "api-service" })
    .use(auth(gate, refuseWithProblem))
    .get(
      "/api/v1/jobs/:id/deliveries",
      async ({ params }) => ({ deliveries: await readDeliveries(sql, requireJobId(params.id)) }),
      { auth: "key", detail: described.listDeliveries },
    )
    .post(
      "/api/v1/deliveries/:id/redeliver",
      async ({ params, set }) => {
        const id = decoded(params.id);
        if (!deliveryIdShape.test(id)) throw missing("delivery", id);
        const delivery = await redeliver(engine, id);
        set.status = 202;
        return delivery;
      },
      { auth: "key", parse: "none", detail: described.redeliver },
    )
    .get("/api/v1/nodes", async () => ({ nodes: await readNodes(sql) }), { auth: "key", detail: described.listNodes })
    .post("/api/v1/nodes/:id/drain", ({ params }) => changeNode(decoded(params.id), drainNode), {
      auth: "key",
      parse: "none",
      detail: described.drainNode,
    })
    .post("/api/v1/nodes/:id/resume", ({ params }) => changeNode(decoded(params.id), resumeNode), {
      auth: "key",
      parse: "none",
      detail: described.resumeNode,
    })
    .get("/api/v1/queues", async () => ({ queues: await readQueues(sql) }), {
      auth: "key",
      detail: described.listQueues,
    })
    .post(
      "/api/v1/queues/:name/pause",
      async ({ params, client }) => queueAfter(await pauseQueue(engine, decoded(params.name), client)),
      {
        auth: "key",
        parse: "none",
        detail: described.pauseQueue,
      },
    )
    .post(
      "/api/v1/queues/:name/resume",
      async ({ params }) => queueAfter(await resumeQueue(engine, decoded(params.name))),
      {
        auth: "key",
        parse: "none",
        detail: described.resumeQueue,
      },
    )
    .get("/api/v1/functions", () => targets.functions(), { auth: "key", detail: described.listFunctions })
    .get("/api/v1/containers", () => targets.containers(), { auth: "key", detail: described.listContainers })
    .get("/api/v1/automations", () => targets.automations(), { auth: "key", detail: described.listAutomations });

  async function changeNode(id: string, change: (to: typeof engine, id: string) => Promise<void>): Promise<NodeView> {
    if (id.length > nameCharsMax || id.includes("\0")) throw missing("node", id);
    await change(engine, id);
    const node = (await readNodes(sql)).find((one) => one.id === id);
    if (node === undefined) throw missing("node", id);
    return node;
  }

  async function queueAfter(name: string): Promise<QueueView> {
    const queue = (await readQueues(sql)).find((one) => one.name === name);
    if (queue === undefined) throw missing("queue", name);
    return queue;
  }
}

/** The router gives null for what it cannot decode, whatever its types say. */
function decoded(param: string | null): string {
  return param ?? "";
}

function missing(what: string, id: string): EngineError {
  return new EngineError("not_found", `There is no ${what} ${JSON.stringify(id.slice(0, nameCharsMax))}`);
}
