import type { Sql } from "../../../src/db/client.ts";
import { until } from "../../support/until.ts";
import { type Audit, audit, unended } from "./audit.ts";
import { type Journal, type Kind, startCallers } from "./callers.ts";
import { ClusterNodes } from "./cluster-nodes.ts";
import { type FaultKind, inflict } from "./faults.ts";
import type { OwnDatabase } from "./own-database.ts";
import { Random } from "./random.ts";

export type CampaignOptions = {
  database: OwnDatabase;
  seed: number;
  nodes: number;
  leaseS: number;
  callers: number;
  /** Mean pause of a caller between two submits. */
  pauseMs: number;
  /** Mean pause between two of what is done. */
  betweenFaultsMs: number;
  /** What is done, in this order; or what is picked from for so long. */
  plan: readonly FaultKind[] | { kinds: readonly FaultKind[]; ms: number };
  /** Seconds that clocks are off, of which each start of a node picks one. */
  skewsS: readonly number[];
  onProgress?(said: string): void;
};

export type CampaignReport = Audit & {
  seed: number;
  seconds: number;
  /** How often what was done. */
  inflicted: Record<string, number>;
  /** Processes that ended by themselves, of which a poison kills its share. */
  ended: number;
  /** Starts while the database was away. */
  failedStarts: number;
  poisons: { submitted: number; stopped: number; runs: number };
  retries: Record<string, number>;
  complaints: Record<string, number>;
};

const kinds: Kind[] = ["nap", "nap", "talk", "sync", "flaky", "keyed", "talk", "cancelled"];
const settleWithinMs = 120_000;
const reviveEveryMs = 200;
const tellEveryMs = 30_000;

/** Real nodes on one database, disturbed under load as the seed says; then everything that callers were promised is looked at. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { database, seed, leaseS } = options;
  const random = new Random(seed);
  const clocks = new Random(seed + 1);
  const names = Array.from({ length: options.nodes }, (_, at) => `node-${at + 1}`);
  const skewS = () => clocks.pick(options.skewsS);
  const environment = { DRAIN_GRACE: "2", DRAIN_NOTICE: "1" };
  const cluster = new ClusterNodes({ address: database.address, names, leaseS, environment, skewS });
  const since = performance.now();
  await cluster.start();
  const { journal, stop } = startCallers({ ...options, cluster, random: new Random(seed + 2), kinds });
  const state: State = { inflicted: {}, ended: 0, wrong: [], poisons: [] };
  const isOver = new AbortController();
  const reviving = revive(cluster, state, isOver.signal);
  await disturb(options, cluster, random, journal, state);
  await stop();
  await untilSettled(database.sql, journal, state);
  const report = await reportOn(options, journal, state, since);
  isOver.abort();
  await reviving;
  const codes = await cluster.stop();
  const stuck = codes.filter((code) => code !== 0);
  report.wrong.push(...stuck.map((code) => `a node ended with ${code}`));
  return { ...report, failedStarts: cluster.failedStarts, complaints: Object.fromEntries(cluster.complaints) };
}

/** Everything that is not as promised; empty is right. What was given up after three losses is as promised, and told apart. */
export function faultsIn(report: CampaignReport): string[] {
  const { lost, finishedTwice, gaps, wrong, poisons } = report;
  return [
    ...lost.map((id) => `${id} has no end`),
    ...finishedTwice.map((id) => `${id} ended twice`),
    ...gaps,
    ...wrong,
    ...(poisons.stopped === poisons.submitted
      ? []
      : [`of ${poisons.submitted} poisons ${poisons.stopped} were stopped`]),
  ];
}

type State = { inflicted: Record<string, number>; ended: number; wrong: string[]; poisons: string[] };

async function disturb(
  options: CampaignOptions,
  cluster: ClusterNodes,
  random: Random,
  journal: Journal,
  state: State,
): Promise<void> {
  const { leaseS, database, plan, betweenFaultsMs, onProgress } = options;
  const since = performance.now();
  const going = new Set<Promise<void>>();
  let poisoning = Promise.resolve();
  const submitPoison = () => (poisoning = poisoning.then(() => poison(cluster, random, state)));
  const killPostgres = () => database.kill();
  let toldAtMs = since;
  for (let at = 0; "ms" in plan ? performance.now() - since < plan.ms : at < plan.length; at++) {
    await Bun.sleep(random.between(0.3 * betweenFaultsMs, 1.7 * betweenFaultsMs));
    const kind = "ms" in plan ? random.pick(plan.kinds) : plan[at];
    // One stays for the load.
    await until("two nodes are well", () => cluster.quiet.length > 1, { withinMs: 120_000, everyMs: 50 });
    if (kind === undefined) break;
    const done = inflict(kind, random.pick(cluster.quiet), {
      cluster,
      random,
      leaseS,
      killPostgres,
      submitPoison,
    }).then((wrong) => {
      state.inflicted[kind] = (state.inflicted[kind] ?? 0) + 1;
      if (wrong !== null) state.wrong.push(wrong);
      going.delete(done);
    });
    going.add(done);
    if (performance.now() - toldAtMs < tellEveryMs) continue;
    toldAtMs = performance.now();
    onProgress?.(
      `${Math.round((toldAtMs - since) / 1_000)} s: ${at + 1} faults, ${journal.accepted.size} jobs accepted`,
    );
  }
  await Promise.all(going);
}

/** Starts again what has ended by itself: nothing but a poison may be the reason. */
async function revive(cluster: ClusterNodes, state: State, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    state.ended += await cluster.revive();
    await Bun.sleep(reviveEveryMs);
  }
}

async function poison(cluster: ClusterNodes, random: Random, state: State): Promise<void> {
  const id = `poison-${crypto.randomUUID()}`;
  for (let tries = 0; tries < 50; tries++) {
    const { server } = random.pick(cluster.quiet.length > 0 ? cluster.quiet : cluster.nodes);
    const body = { id, function: "poison", input: { whom: "node" } };
    const status = await server.post("/api/v1/jobs", body).then(
      (response) => response.status,
      // Its own node may have died of it before it could answer: the next one knows.
      () => null,
    );
    if (status === 202 || status === 200) {
      state.poisons.push(id);
      return untilStopped(cluster, random, id);
    }
    await Bun.sleep(200);
  }
}

/** One poison after another: what two of them do to those beside them is more than the promise. */
async function untilStopped(cluster: ClusterNodes, random: Random, id: string): Promise<void> {
  const look = async () => {
    const { server } = random.pick(cluster.up.length > 0 ? cluster.up : cluster.nodes);
    const job = await server.call(`/api/v1/jobs/${id}`).then(
      (response) => response.json() as Promise<{ status?: string }>,
      // It may be dying of the poison.
      () => null,
    );
    return job?.status === "failed";
  };
  await until(`${id} is stopped`, look, { withinMs: 150_000, everyMs: 200 });
}

async function untilSettled(sql: Sql, journal: Journal, { poisons }: State): Promise<void> {
  const promised = {
    ...journal,
    accepted: new Map([...journal.accepted.keys(), ...poisons].map((id) => [id, "nap" as Kind])),
  };
  await until("all has ended", async () => (await unended(sql, promised).catch(() => [""])).length === 0, {
    withinMs: settleWithinMs,
    everyMs: 200,
  }).catch(
    // What has not ended is in the report.
    () => undefined,
  );
}

async function reportOn(
  { database, seed }: CampaignOptions,
  journal: Journal,
  state: State,
  since: number,
): Promise<Omit<CampaignReport, "complaints" | "failedStarts">> {
  const found = await audit(database.sql, journal);
  const [poisons] = await database.sql<{ stopped: number; runs: number }[]>`
    SELECT count(DISTINCT j.id) FILTER (WHERE j.status = 'failed')::int AS stopped, count(r.run_id)::int AS runs
    FROM jobs j LEFT JOIN runs r ON r.job_id = j.id WHERE j.id LIKE 'poison-%'`;
  return {
    ...found,
    wrong: [...found.wrong, ...state.wrong],
    seed,
    seconds: Math.round((performance.now() - since) / 1_000),
    inflicted: state.inflicted,
    ended: state.ended,
    poisons: { submitted: state.poisons.length, stopped: poisons?.stopped ?? 0, runs: poisons?.runs ?? 0 },
    retries: Object.fromEntries(journal.retries),
  };
}
