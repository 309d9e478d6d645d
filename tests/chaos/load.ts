import type { Submission } from "../../src/engine/submission.ts";
import { jobOf, taskOf } from "../support/engine.ts";
import type { Fleet } from "./fleet.ts";
import type { WorkInput } from "./work.ts";

export type Kind = "plain" | "chain" | "flaky" | "keyed" | "told" | "cancelled";

/** What was accepted, by id: the servers promised an end for each of them. */
export type Accepted = Map<string, Kind>;

export type LoadOptions = { fleet: Fleet; clients: number; pauseMs: number; workMs: number; kinds: readonly Kind[] };

const answerWithinMs = 2_000;

/** Submits jobs of all kinds until it is stopped. What was not answered was not accepted. */
export function startLoad(options: LoadOptions): { accepted: Accepted; stop(): Promise<void> } {
  const accepted: Accepted = new Map();
  let isStopped = false;
  const clients = Array.from({ length: options.clients }, async (_, client) => {
    for (let n = client; !isStopped; n += options.clients) {
      const kind = options.kinds[n % options.kinds.length] ?? "plain";
      const id = await submit(options, kind);
      if (id !== null) accepted.set(id, kind);
      if (id !== null && kind === "cancelled") await ask(options.fleet, `/cancel/${id}`);
      await Bun.sleep(options.pauseMs * 2 * Math.random());
    }
  });
  const stop = async () => {
    isStopped = true;
    await Promise.all(clients);
  };
  return { accepted, stop };
}

async function submit({ fleet, workMs }: LoadOptions, kind: Kind): Promise<string | null> {
  const id = `${kind}-${crypto.randomUUID()}`;
  // The work waits twice for this long.
  const input: WorkInput = { n: 0, ms: Math.round(workMs * Math.random()) };
  const answer = await ask(fleet, "/submit", { id, ...submissionOf(kind), inputJson: JSON.stringify(input) });
  return answer === null ? null : id;
}

function submissionOf(kind: Kind): Submission {
  switch (kind) {
    case "plain":
    case "cancelled":
      return jobOf({ target: kind });
    case "chain":
      return jobOf({ tasks: [taskOf("a"), taskOf("b"), taskOf("c")] });
    case "flaky":
      return jobOf({ tasks: [taskOf("flaky", { maxAttempts: 2 })] });
    case "keyed":
      return jobOf({ target: kind, concurrency: { key: "chaos", max: 2 } });
    case "told":
      return jobOf({ target: kind, webhook: { url: "http://127.0.0.1:9/", events: ["completed"], kind: "test" } });
    default:
      return kind satisfies never;
  }
}

async function ask(fleet: Fleet, path: string, body: unknown = {}): Promise<unknown> {
  const { ready } = fleet;
  const server = ready[Math.floor(Math.random() * ready.length)];
  if (server === undefined) return null;
  try {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(answerWithinMs),
    });
    return response.ok ? await response.json() : null;
  } catch {
    // Killed or frozen while it was asked: it has promised nothing.
    return null;
  }
}
