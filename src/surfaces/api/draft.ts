import type { Problem } from "../../errors.ts";
import type { Submission, TaskSpec } from "../../engine/submission.ts";
import type { StagedFile } from "../../files/staging.ts";
import type { TraceContext } from "../../http/trace-context.ts";
import { createBodyCheck, invalid } from "./check-body.ts";
import type { ApiDeps } from "./deps.ts";
import { draftTasks } from "./draft-tasks.ts";
import { draftWebhook } from "./draft-webhook.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { textProblems } from "./text-problems.ts";
import { isJobId } from "./wire.ts";
import { type Submit, submitModel } from "./wire-submit.ts";

/** What a submission brings besides its body. */
export type Origin = {
  client: string;
  /** The caller's address, for containers that are not for everybody. */
  address: string;
  files: readonly StagedFile[];
  idempotencyKey: string | null;
  trace: TraceContext;
  /** The caller wants the output as it is made. */
  isStreamed: boolean;
  /** The time by the database's clock, from which a delay counts; this machine's unless said. */
  nowMs?: number;
};

/** A submission that was found good, before its files are stored. `script` is the text of its `run.sh`, when it came as text. */
export type Draft = { submission: Submission & { id: string }; script: string | null; needsFiles: boolean };

type Deps = Pick<ApiDeps, "targets" | "settings" | "sealWebhook">;

const checkShape = createBodyCheck(submitModel, "The job");

/** Checks a body and turns it into what the engine takes. Throws `EngineError("invalid")` with a pointer to everything that is wrong. */
export function draftJob(deps: Deps, body: unknown, origin: Origin): Draft {
  const submit = checkShape(body);
  const problems: Problem[] = [...textProblems(submit), ...timeProblems(submit)];
  if (submit.id !== undefined && !isJobId(submit.id))
    problems.push({ pointer: "/id", detail: 'must not be "." or ".."' });
  const tasks = collect(problems, () => draftTasks(deps, submit, origin));
  const webhook = collect(problems, () => draftWebhook(deps, submit.webhook));
  if (problems.length > 0 || tasks === undefined) throw invalid("The job", problems);
  const [first] = tasks.tasks;
  return {
    submission: { ...submissionOf(submit, tasks.tasks, body, origin), ...(webhook == null ? {} : { webhook }) },
    script: submit.script ?? null,
    needsFiles: first?.runner === "script" || first?.runner === "automation",
  };
}

function submissionOf(submit: Submit, tasks: TaskSpec[], body: unknown, origin: Origin): Submission & { id: string } {
  const runAt = runAtOf(submit, origin.nowMs ?? Date.now());
  const isRepeatable = submit.id !== undefined || origin.idempotencyKey !== null;
  return {
    id: submit.id ?? Bun.randomUUIDv7(),
    surface: "api",
    client: origin.client,
    priority: submit.priority ?? 1,
    inputJson: JSON.stringify(submit.input ?? {}),
    tasks,
    ...(submit.tags === undefined ? {} : { tags: submit.tags }),
    ...(submit.hold === true ? { held: true } : {}),
    ...(runAt === null ? {} : { runAt }),
    ...(submit.dedup === undefined ? {} : { dedup: submit.dedup }),
    ...(submit.concurrency === undefined ? {} : { concurrency: submit.concurrency }),
    ...(isRepeatable ? { fingerprint: fingerprintOf(body, origin.files) } : {}),
    ...(origin.idempotencyKey === null ? {} : { idempotencyKey: origin.idempotencyKey }),
    ...origin.trace,
  };
}

function timeProblems({ delay, run_at }: Submit): Problem[] {
  if (delay !== undefined && run_at !== undefined) {
    return [{ pointer: "/run_at", detail: "must not stand beside delay: one of them is enough" }];
  }
  const isTime = run_at === undefined || !Number.isNaN(Date.parse(run_at));
  return isTime ? [] : [{ pointer: "/run_at", detail: "must be a time like 2026-01-31T12:00:00Z" }];
}

function runAtOf({ delay, run_at }: Submit, nowMs: number): Date | null {
  if (run_at !== undefined) return new Date(run_at);
  return delay === undefined || delay === 0 ? null : new Date(nowMs + delay * 1_000);
}

/** Runs one part of the check; what it finds wrong joins the other problems, so that a caller learns of all at once. */
function collect<T>(problems: Problem[], part: () => { problems: Problem[]; value: T }): T | undefined {
  const found = part();
  problems.push(...found.problems);
  return found.value;
}
