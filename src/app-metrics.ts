import type { Rooms } from "./app-rooms.ts";
import { poolUse } from "./db/pool-use.ts";
import { type Depth, lookedAtMax, readDepth } from "./engine/depth.ts";
import type { RunnerTally } from "./engine/tally.ts";
import { type Cached, createCached } from "./http/cached.ts";
import type { Metrics } from "./http/metrics.ts";
import type { Reading, Spread } from "./http/openmetrics.ts";

/** Everything that can be measured of the rooms. What the whole cluster has in common says so in its help. */
export function addMetrics(metrics: Metrics, rooms: Rooms): void {
  addDepth(metrics, rooms);
  addIntake(metrics, rooms);
  addRuns(metrics, rooms);
  addSlots(metrics, rooms);
  addWebhooks(metrics, rooms);
  addPools(metrics, rooms);
}

const clusterWide = "in the whole cluster, the same from every node";
const depthKeptMs = 5_000;

function addDepth(metrics: Metrics, { engine, database }: Rooms): void {
  const depth = createCached(() => readDepth(database.db.sql), depthKeptMs);
  const read =
    (pick: (depth: Depth) => Reading): (() => Promise<Reading>) =>
    async () =>
      pick(await depth.value());
  metrics.gauge("queue_waiting", `Tasks that wait ${clusterWide}; counted up to QUEUE_MAX`, () => engine.view.waiting);
  metrics.gauge(
    "queue_tasks",
    `Tasks that wait ${clusterWide}, by what they wait for; of each runner and class of priorities the next ${lookedAtMax} are looked at`,
    read(({ waiting }) =>
      waiting.map(({ tasks, surface, runner, priority, state }) => ({
        labels: { surface, runner, priority, state },
        value: tasks,
      })),
    ),
  );
  metrics.gauge(
    "queue_oldest_seconds",
    `How long the task has waited that has waited longest of those that could run, ${clusterWide}`,
    read(({ oldest }) =>
      oldest.map(({ waitedS, surface, runner, priority }) => ({
        labels: { surface, runner, priority },
        value: waitedS,
      })),
    ),
  );
  addCluster(metrics, read, depth);
}

type ReadDepth = (pick: (depth: Depth) => Reading) => () => Promise<Reading>;

function addCluster(metrics: Metrics, read: ReadDepth, depth: Cached<Depth>): void {
  metrics.gauge(
    "tasks_running",
    `Tasks that run ${clusterWide}`,
    read(({ running }) => running.map(({ runner, tasks }) => ({ labels: { runner }, value: tasks }))),
  );
  metrics.gauge(
    "nodes",
    `Nodes by their state, ${clusterWide}`,
    read(({ nodes }) => nodes.map(({ state, nodes: value }) => ({ labels: { state }, value }))),
  );
  metrics.gauge(
    "webhooks_pending",
    `Webhooks that are still to be handed over, ${clusterWide}`,
    read(({ deliveries }) => deliveries.pending),
  );
  metrics.gauge(
    "webhooks_overdue_seconds",
    `For how long the next webhook has been due, ${clusterWide}`,
    read(({ deliveries }) => deliveries.overdueS),
  );
  metrics.gauge(
    "cluster_reading_age_seconds",
    "How old the numbers of the whole cluster are: what takes long to read is read less often",
    () => depth.ageMs() / 1_000,
  );
}

function addIntake(metrics: Metrics, { engine: { tally } }: Rooms): void {
  metrics.total("jobs_accepted", "Jobs that this node has committed, by surface", () =>
    Object.entries(tally.accepted).map(([surface, value]) => ({ labels: { surface }, value })),
  );
  metrics.total("jobs_refused", "Jobs that this node has turned away: the queue was full, or it was stopping", () =>
    Object.entries(tally.refused).map(([reason, value]) => ({ labels: { reason }, value })),
  );
}

function addRuns(metrics: Metrics, { engine: { tally } }: Rooms): void {
  const runners = Object.entries(tally.runners);
  const values = (pick: (of: RunnerTally) => number) => (): Reading =>
    runners.map(([runner, of]) => ({ labels: { runner }, value: pick(of) }));
  const spreads = (pick: (of: RunnerTally) => RunnerTally["waitS"]) => (): Spread =>
    runners.map(([runner, of]) => ({ labels: { runner }, buckets: pick(of) }));
  metrics.total(
    "claims",
    "Tasks that this node has claimed from the queue",
    values(({ claimed }) => claimed),
  );
  metrics.total(
    "starts_at_once",
    "Tasks that this node has started at once, without the queue",
    values(({ startedAtOnce }) => startedAtOnce),
  );
  metrics.spread(
    "claim_seconds",
    "How long claims of this node took, of any number of tasks",
    spreads(({ claimS }) => claimS),
  );
  metrics.spread(
    "wait_seconds",
    "How long the tasks that this node has started had waited",
    spreads(({ waitS }) => waitS),
  );
  metrics.spread(
    "run_seconds",
    "How long the runs took that this node has recorded",
    spreads(({ runS }) => runS),
  );
  metrics.total("runs", "Runs that this node has recorded, by how they ended; lost ones may have been another's", () =>
    runners.flatMap(([runner, { outcomes }]) =>
      Object.entries(outcomes).map(([outcome, value]) => ({ labels: { runner, outcome }, value })),
    ),
  );
}

function addSlots(metrics: Metrics, { worker, node }: Rooms): void {
  const slots = (pick: "used" | "limit") => () =>
    Object.entries(worker.slots()).map(([runner, of]) => ({ labels: { runner }, value: of[pick] }));
  metrics.gauge("runs_active", "Tasks that run on this node", () => worker.runningCount);
  metrics.gauge("slots_used", "Slots of this node that are in use", slots("used"));
  metrics.gauge("slots_limit", "Slots of this node", slots("limit"));
  metrics.gauge("node_unhealthy", "1 while this node takes nothing of the work that waits for it", () =>
    node.complaint === null ? 0 : 1,
  );
}

function addWebhooks(metrics: Metrics, { sender: { tally } }: Rooms): void {
  metrics.total(
    "webhook_attempts",
    "Attempts of this node to hand over a webhook: delivered, to be retried, or given up as failed",
    () => [
      { labels: { outcome: "delivered" }, value: tally.delivered },
      { labels: { outcome: "retried" }, value: tally.retried },
      { labels: { outcome: "failed" }, value: tally.failed },
    ],
  );
  metrics.spread("webhook_attempt_seconds", "How long attempts of this node took", () => tally.seconds);
}

function addPools(metrics: Metrics, { database }: Rooms): void {
  const { sql, hot, lease } = database.db;
  const pools = Object.entries({ common: sql, hot, lease });
  metrics.gauge("database_connections", "Connections of this node to the database", () =>
    pools.flatMap(([pool, connections]) => {
      const { used, idle } = poolUse(connections);
      return [
        { labels: { pool, state: "used" }, value: used },
        { labels: { pool, state: "idle" }, value: idle },
      ];
    }),
  );
  metrics.gauge("database_connections_limit", "Connections that this node may have to the database", () =>
    pools.map(([pool, connections]) => ({ labels: { pool }, value: poolUse(connections).max })),
  );
  metrics.gauge("database_statements_waiting", "Statements of this node that wait for a connection", () =>
    pools.map(([pool, connections]) => ({ labels: { pool }, value: poolUse(connections).waiting })),
  );
}
