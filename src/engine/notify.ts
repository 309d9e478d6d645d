import type { Runs } from "../db/client.ts";
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
  await announceAlways(runs, news);
}

/** Tells whoever listens, this node too. */
export async function announceAlways(runs: Runs, news: News[]): Promise<void> {
  await runs.unsafe("SELECT pg_notify($1, n) FROM unnest($2::text[]) n", [channel, news.map(encode)], {
    prepare: true,
  });
}

export async function announceQueued(engine: Engine, runs: Runs, messages: readonly Put[]): Promise<void> {
  const queues = new Set(messages.filter((message) => message.startAt == null).map((message) => message.queue));
  await announce(
    engine,
    runs,
    [...queues].map((queue) => ({ kind: "queued", queue })),
  );
}

/** Null for text that no version of this program wrote. */
export function decode(payload: string): News | null {
  const at = payload.indexOf(":");
  const rest = payload.slice(at + 1);
  switch (payload.slice(0, at)) {
    case "queued":
      return { kind: "queued", queue: rest };
    case "job":
      return { kind: "job", jobId: rest };
    case "stop":
      return { kind: "stop", jobId: rest };
    case "nodes":
      return { kind: "nodes" };
    case "pauses":
      return { kind: "pauses" };
    default:
      return null;
  }
}

function encode(news: News): string {
  if (news.kind === "queued") return `queued:${news.queue}`;
  return "jobId" in news ? `${news.kind}:${news.jobId}` : `${news.kind}:`;
}
