import { type ClusterNode, type ClusterNodes, pickNode } from "./cluster-nodes.ts";
import { type Followed, followStream } from "./follower.ts";
import type { Random } from "./random.ts";

export type Kind = "nap" | "talk" | "sync" | "flaky" | "keyed" | "cancelled";

/** What callers were promised and saw. */
export type Journal = {
  /** Jobs that were accepted, by id. */
  accepted: Map<string, Kind>;
  streams: Followed[];
  /** Answers to sync callers: how often they had the result at once, and how often they were told to look later. */
  synced: { ended: number; later: number };
  /** Answers that are neither a success nor a 503, and what was said. */
  oddAnswers: string[];
  /** Submits that were tried again, by what the node did instead of taking them. */
  retries: Map<string, number>;
};

export type CallersOptions = {
  cluster: ClusterNodes;
  random: Random;
  callers: number;
  kinds: readonly Kind[];
  pauseMs: number;
  /** Whoever has no answer for so long turns to another node; 5 s unless said. */
  answerWithinMs?: number;
};

const answerUsuallyWithinMs = 5_000;
const giveUpAfterMs = 60_000;
const followAtOnce = 20;

/** Callers that submit jobs of all kinds until they are stopped. What they have no answer for they submit again, by the same id, to any node. */
export function startCallers(options: CallersOptions): { journal: Journal; stop(): Promise<void> } {
  const journal: Journal = {
    accepted: new Map(),
    streams: [],
    synced: { ended: 0, later: 0 },
    oddAnswers: [],
    retries: new Map(),
  };
  const following = new Set<Promise<void>>();
  let isOver = false;
  const callers = Array.from({ length: options.callers }, async () => {
    while (!isOver) {
      await call(options, journal, following);
      await Bun.sleep(options.random.between(0, 2 * options.pauseMs));
    }
  });
  const stop = async () => {
    isOver = true;
    await Promise.all(callers);
    await Promise.all(following);
  };
  return { journal, stop };
}

async function call(options: CallersOptions, journal: Journal, following: Set<Promise<void>>): Promise<void> {
  const { cluster, random } = options;
  const kind = random.pick(options.kinds);
  const id = `${kind}-${crypto.randomUUID()}`;
  const answer = await submitUntilTaken(options, journal, id, kind);
  if (answer === null) return;
  journal.accepted.set(id, kind);
  if (kind === "sync") journal.synced[answer.status === 200 ? "ended" : "later"]++;
  if (kind === "cancelled") await cancel(cluster, random, id);
  if (kind !== "talk" || following.size >= followAtOnce) return;
  const followed = followStream(cluster, id, random).then((seen) => {
    journal.streams.push(seen);
    following.delete(followed);
  });
  following.add(followed);
}

/** Null when no node took it for long. */
async function submitUntilTaken(
  { cluster, random, answerWithinMs = answerUsuallyWithinMs }: CallersOptions,
  journal: Journal,
  id: string,
  kind: Kind,
): Promise<Response | null> {
  const body = { id, ...bodyOf(kind, random) };
  const prefer = kind === "sync" ? "wait=4" : "respond-async";
  const until = performance.now() + giveUpAfterMs;
  while (performance.now() < until) {
    const answer = await ask(pickNode(cluster, random), "/api/v1/jobs", body, { prefer, answerWithinMs });
    if (answer instanceof Response && answer.ok) return answer;
    if (answer instanceof Response && answer.status !== 503) {
      journal.oddAnswers.push(`${answer.status} ${(await answer.text()).slice(0, 300)}`);
      return null;
    }
    const why = answer instanceof Response ? "503" : answer;
    journal.retries.set(why, (journal.retries.get(why) ?? 0) + 1);
    await Bun.sleep(random.between(20, 200));
  }
  journal.oddAnswers.push(`${id} was not taken within ${giveUpAfterMs} ms`);
  return null;
}

async function cancel(cluster: ClusterNodes, random: Random, id: string): Promise<void> {
  await Bun.sleep(random.between(0, 300));
  for (let tries = 0; tries < 20; tries++) {
    const answer = await ask(pickNode(cluster, random), `/api/v1/jobs/${id}/cancel`, {}, {});
    if (answer instanceof Response && (answer.ok || answer.status === 409)) return;
    await Bun.sleep(100);
  }
}

function bodyOf(kind: Kind, random: Random): object {
  const ms = Math.round(random.between(5, 120));
  switch (kind) {
    case "nap":
    case "sync":
      return { function: "nap", input: { ms } };
    case "talk":
      return { function: "talk", input: { lines: 20, everyMs: Math.round(random.between(10, 120)) } };
    case "flaky":
      return { function: "flaky", max_attempts: 2, backoff: 0 };
    case "keyed":
      return { function: "nap", input: { ms }, concurrency: { key: "chaos", max: 2 } };
    case "cancelled":
      return { function: "nap", input: { ms: 3_000 } };
    default:
      return kind satisfies never;
  }
}

/** The answer, or the code of what happened instead: killed, frozen, stopped or cut off while it was asked, a node has promised nothing. */
async function ask(
  node: ClusterNode,
  path: string,
  body: unknown,
  { prefer = "respond-async", answerWithinMs = answerUsuallyWithinMs }: { prefer?: string; answerWithinMs?: number },
): Promise<Response | string> {
  try {
    return await fetch(`${node.server.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", prefer },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(answerWithinMs),
    });
  } catch (fault) {
    if (!(fault instanceof Error)) return "unknown";
    return "code" in fault && typeof fault.code === "string" ? fault.code : fault.name;
  }
}
