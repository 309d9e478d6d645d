import { addBacklog, setWorking, waitingAt } from "./backlog.ts";
import { medianOf, type Row } from "./row.ts";
import { type BenchService, startBenchService } from "./service.ts";

const slots = "256";
const few = 100_000;
const many = 1_000_000;
/** So many are drained of either in a round; what is left of the few is their end, which is slower. */
const drained = 95_000;
const roundsMax = 3;
/** What one round differs from the next on a machine with nothing else to do. */
const noise = 0.1;

/** The same number of tasks taken from a short queue and from a very long one, in turns, since the machine is not always as fast. */
export async function backlogRows(rounds: number): Promise<Row[]> {
  const [short, long] = [await startIdle(), await startIdle()];
  try {
    await addBacklog(long.url, many);
    const fromFew: number[] = [];
    const fromMany: number[] = [];
    for (let round = 0; round < Math.min(rounds, roundsMax); round++) {
      await addBacklog(short.url, few - (await waitingAt(short.url)));
      for (const [service, rates] of round % 2 === 0 ? ordered() : ordered().toReversed())
        rates.push(await drainRate(service));
    }
    return [
      row(`first ${show(drained)} drained of ${show(few)}, ${slots} slots`, fromFew),
      {
        ...row(`the same of ${show(many)}, in turns with it`, fromMany),
        reach: medianOf(fromFew) * (1 - noise),
        note: "no slower, as far as rounds can tell",
      },
    ];
    function ordered(): [BenchService, number[]][] {
      return [
        [short, fromFew],
        [long, fromMany],
      ];
    }
  } finally {
    await short.stop();
    await long.stop();
  }
}

async function startIdle(): Promise<BenchService> {
  const service = await startBenchService({ SLOTS: slots, QUEUE_MAX: String(2 * many) });
  await setWorking(service.url, false);
  return service;
}

async function drainRate({ url }: BenchService): Promise<number> {
  const before = await waitingAt(url);
  const startedAt = performance.now();
  await setWorking(url, true);
  let now = before;
  while (before - now < drained) {
    await Bun.sleep(50);
    now = await waitingAt(url);
  }
  const perSecond = (before - now) / ((performance.now() - startedAt) / 1_000);
  await setWorking(url, false);
  return perSecond;
}

function row(name: string, rounds: number[]): Row {
  return { name, unit: "/s", better: "higher", median: medianOf(rounds), rounds };
}

function show(count: number): string {
  return count.toLocaleString("en");
}
