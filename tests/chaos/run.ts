import type { Sql } from "../../src/db/client.ts";
import type { LeaseTimes } from "../../src/engine/lease.ts";
import type { SocketAddress } from "../support/cluster.ts";
import { Fleet } from "./fleet.ts";
import { type Kind, startLoad } from "./load.ts";
import { judge, unfinished, type Verdict } from "./verdict.ts";

export type ChaosOptions = {
  address: SocketAddress;
  sql: Sql;
  servers: number;
  isFenced: boolean;
  /** Stops when both are reached, and at the latest after `maxMs`. */
  kills: number;
  freezes: number;
  minMs: number;
  maxMs: number;
  /** Mean time that a task takes, and between two submissions of one client. */
  workMs: number;
  pauseMs: number;
  onProgress?(said: string): void;
};

export type ChaosReport = Verdict & {
  kills: number;
  freezes: number;
  seconds: number;
  complaints: Record<string, number>;
};

const lease: LeaseTimes = { leaseMs: 1_500, renewEveryMs: 300, giveUpAfterMs: 1_000 };
const slots = 4;
const clients = 8;
const killEveryMs = 700;
const freezeMs = { least: 1_800, most: 3_000 };
const drainMs = 45_000;
const kinds: Kind[] = ["plain", "plain", "chain", "plain", "flaky", "keyed", "plain", "told", "plain", "cancelled"];

/** Servers on one database, killed and frozen under load; then everything that was accepted is looked at. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { address, sql, servers, isFenced, workMs, pauseMs } = options;
  await sql`CREATE TABLE IF NOT EXISTS executions (job_id text, task int, run_id uuid, node text, pid int, at timestamptz DEFAULT now())`;
  const since = performance.now();
  const fleet = new Fleet({ address, servers, isFenced, slots, lease });
  try {
    await until("the servers are ready", () => fleet.ready.length === servers, 20_000);
    const load = startLoad({ fleet, clients, pauseMs, workMs, kinds: isFenced ? kinds : ["plain"] });
    await Promise.all([
      disturb(options, since, () => kill(fleet, options)),
      disturb(options, since, () => freeze(fleet, options)),
    ]);
    await load.stop();
    await until(
      "every accepted job has ended",
      async () => (await unfinished(sql, load.accepted)).length === 0,
      drainMs,
    ).catch(
      // What has not ended is in the verdict.
      () => undefined,
    );
    if (!isFenced) await Bun.sleep(freezeMs.least);
    const verdict = await judge(sql, load.accepted);
    const seconds = Math.round((performance.now() - since) / 100) / 10;
    return {
      ...verdict,
      kills: fleet.kills,
      freezes: fleet.freezes,
      seconds,
      complaints: Object.fromEntries(fleet.complaints),
    };
  } finally {
    await fleet.end();
  }
}

/** Again and again until there was enough of it, and for as long as was asked for. */
async function disturb(options: ChaosOptions, since: number, once: () => Promise<boolean>): Promise<void> {
  for (;;) {
    const isEnough = await once();
    const passedMs = performance.now() - since;
    if ((isEnough && passedMs >= options.minMs) || passedMs >= options.maxMs) return;
  }
}

async function kill(fleet: Fleet, { kills, onProgress }: ChaosOptions): Promise<boolean> {
  await Bun.sleep(killEveryMs * 2 * Math.random());
  // One that answers is left for the load, as long as there is another to kill.
  if (kills > 0 && fleet.ready.length > 0) await fleet.kill();
  if (fleet.kills % 10 === 0) onProgress?.(`${fleet.kills} kills, ${fleet.freezes} freezes`);
  return fleet.kills >= kills;
}

async function freeze(fleet: Fleet, { freezes }: ChaosOptions): Promise<boolean> {
  await Bun.sleep(300);
  await fleet.freeze(freezeMs.least + (freezeMs.most - freezeMs.least) * Math.random());
  return fleet.freezes >= freezes;
}

async function until(what: string, check: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await Bun.sleep(100);
  }
}
