import { isPassingFault, type Runs } from "../db/client.ts";
import type { Put } from "../queue/boss.ts";
import type { Engine } from "./context.ts";

export const channel = "fairlead";

/** What nodes tell each other. Lost ones are made good by polling. */
export type News =
  | { kind: "queued"; queue: string }
  | { kind: "job"; jobId: string }
  | { kind: "stop"; jobId: string }
  | { kind: "nodes" }
  | { kind: "pauses" };

/** Tells the other nodes when the transaction commits. Costs nothing while there are none. */
export async function announce(engine: Engine, runs: Runs, news: News[]): Promise<void> {
  if (!engine.view.hasPeers || news.length === 0) return;
  await announceAlways(runs, news, engine.self);
}

/** As `announce`, for what is committed already: that nobody could be told does not undo it, and polling is the floor. */
export async function announceAfter(engine: Engine, news: News[]): Promise<void> {
  await announce(engine, engine.db.hot, news).catch((fault: unknown) => {
    if (!isPassingFault(fault)) throw fault;
  });
}

/** Tells whoever listens; with a sender, that one does not hear its own news. */
export async function announceAlways(runs: Runs, news: News[], sender = "-"): Promise<void> {
  const payloads = news.map((entry) => encode(entry, sender));
  await runs.unsafe("SELECT pg_notify($1, n) FROM unnest($2::text[]) n", [channel, payloads], { prepare: true });
}

export async function announceQueued(engine: Engine, runs: Runs, messages: readonly Put[]): Promise<void> {
  await announce(engine, runs, newsOf(messages));
}

/** The same as texts, for a statement that notifies by itself. */
export function queuedTexts(engine: Engine, messages: readonly Put[]): string[] {
  return engine.view.hasPeers ? newsOf(messages).map((news) => encode(news, engine.self)) : [];
}

function newsOf(messages: readonly Put[]): News[] {
  const queues = new Set(messages.filter((message) => message.startAt == null).map((message) => message.queue));
  return [...queues].map((queue) => ({ kind: "queued", queue }));
}

/** Null for one's own news, and for text that no version of this program wrote. */
export function decode(payload: string, self: string): News | null {
  const [kind = "", sender = "", ...more] = payload.split(":");
  const rest = more.join(":");
  if (sender === self) return null;
  switch (kind) {
    case "queued":
      return { kind, queue: rest };
    case "job":
      return { kind, jobId: rest };
    case "stop":
      return { kind, jobId: rest };
    case "nodes":
    case "pauses":
      return { kind };
    default:
      return null;
  }
}

function encode(news: News, sender: string): string {
  const about = news.kind === "queued" ? news.queue : "jobId" in news ? news.jobId : "";
  return `${news.kind}:${sender}:${about}`;
}
