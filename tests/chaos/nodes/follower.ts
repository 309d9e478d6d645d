import { type ClusterNodes, pickNode } from "./cluster-nodes.ts";
import type { Random } from "./random.ts";

/** What a reader of a job's stream has seen, over all its connections. */
export type Followed = {
  id: string;
  events: number;
  connections: number;
  /** What is wrong with the order of its events; empty is right. */
  faults: string[];
  hasEnded: boolean;
};

/** Beyond the pause of a heartbeat nothing comes from a node that is frozen. */
const silenceMaxMs = 4_000;
const giveUpAfterMs = 90_000;

/** Follows a job to its end: whenever its connection ends or falls silent it goes on at any other node, from the last id it has. */
export async function followStream(cluster: ClusterNodes, id: string, random: Random): Promise<Followed> {
  const seen: Followed = { id, events: 0, connections: 0, faults: [], hasEnded: false };
  const until = performance.now() + giveUpAfterMs;
  while (!seen.hasEnded && performance.now() < until) {
    seen.connections++;
    const url = `${pickNode(cluster, random).server.url}/api/v1/jobs/${id}/events`;
    await readOn(url, seen).catch(() => undefined);
    if (!seen.hasEnded) await Bun.sleep(random.between(20, 200));
  }
  if (!seen.hasEnded) seen.faults.push(`${id} was not told its end`);
  return seen;
}

/** Reads one connection. It rejects when that breaks or falls silent, which is no fault: the reader comes back. */
async function readOn(url: string, seen: Followed): Promise<void> {
  const leaving = new AbortController();
  let silence = setTimeout(() => leaving.abort(), silenceMaxMs);
  try {
    const headers: Record<string, string> = seen.events === 0 ? {} : { "last-event-id": String(seen.events) };
    const response = await fetch(url, { headers, signal: leaving.signal });
    if (response.status === 204) seen.hasEnded = true;
    if (response.status !== 200 || response.body === null) return;
    let rest = "";
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(silence);
      silence = setTimeout(() => leaving.abort(), silenceMaxMs);
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) take(block, seen);
    }
  } finally {
    clearTimeout(silence);
    leaving.abort();
  }
}

function take(block: string, seen: Followed): void {
  const id = Number(/^id: (\d+)$/m.exec(block)?.[1] ?? Number.NaN);
  if (Number.isNaN(id)) return;
  if (id !== seen.events + 1) seen.faults.push(`${seen.id}: event ${id} came after ${seen.events}`);
  seen.events = id;
  if (/^event: completed$/m.test(block)) seen.hasEnded = true;
}
