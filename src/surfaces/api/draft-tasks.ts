import type { Problem } from "../../errors.ts";
import type { TaskSpec } from "../../engine/submission.ts";
import type { RunnerName } from "../../runners/contract.ts";
import type { ChainTime } from "../../runners/container/chain-time.ts";
import { isAllowed } from "../../runners/container/allowed.ts";
import type { ApiDeps } from "./deps.ts";
import type { Origin } from "./draft.ts";
import { draftLimits } from "./draft-limits.ts";
import { paramProblems } from "./param-problems.ts";
import { unknownTarget } from "./targets.ts";
import type { Submit } from "./wire-submit.ts";

type Deps = Pick<ApiDeps, "targets" | "settings">;
type Wanted = Origin & { submit: Submit };
/** What runs, with what it gets unless the body says otherwise. */
type Work = {
  runner: RunnerName;
  targets: string[];
  usualMs?: number;
  usualAttempts?: number;
  options?: Record<string, unknown>;
};

const scriptFile = "run.sh";
const kinds = ["function", "script", "containers", "automation"] as const;
const automationAttempts = 2;

/** The tasks of a submission: one, or the links of a chain. `value` is undefined when it is not clear what runs. */
export function draftTasks(
  deps: Deps,
  submit: Submit,
  origin: Origin,
): { problems: Problem[]; value: { tasks: TaskSpec[] } | undefined } {
  const named = kinds.filter((kind) => submit[kind] !== undefined);
  const [first, second] = named;
  if (second !== undefined) {
    return refused({ pointer: `/${second}`, detail: `must not stand beside ${first}: a job runs one thing` });
  }
  const hasScript = origin.files.some(({ name }) => name === scriptFile);
  if (first === undefined && !hasScript) {
    return refused({ pointer: "", detail: `must name one of ${kinds.join(", ")}, or come with a file ${scriptFile}` });
  }
  const problems: Problem[] = [];
  if (submit.deadline !== undefined && first !== "containers")
    problems.push({ pointer: "/deadline", detail: "must stand beside containers: use timeout for what is one run" });
  const work = workOf(deps, first ?? "script", { ...origin, submit }, problems);
  if (work === null) return { problems, value: undefined };
  const limits = draftLimits(submit.limits, deps.settings.limits);
  const timeoutMs = timeoutOf(deps, submit, work, problems);
  problems.push(...limits.problems);
  const spec = {
    runner: work.runner,
    timeoutMs,
    maxAttempts: submit.max_attempts ?? work.usualAttempts ?? 1,
    backoffS: submit.backoff ?? 1,
    ...(limits.value === null ? {} : { limits: limits.value }),
    ...(work.options === undefined ? {} : { options: work.options }),
    ...(submit.requires === undefined ? {} : { requires: submit.requires }),
  };
  return { problems, value: { tasks: work.targets.map((target) => ({ ...spec, target })) } };
}

function workOf(deps: Deps, kind: (typeof kinds)[number], wanted: Wanted, problems: Problem[]): Work | null {
  switch (kind) {
    case "function":
      return functionWork(deps, wanted, problems);
    case "script":
      if (wanted.submit.script !== undefined && wanted.files.some(({ name }) => name === scriptFile)) {
        problems.push({ pointer: "/script", detail: `must not stand beside a file ${scriptFile}` });
      }
      return { runner: "script", targets: [""] };
    case "containers":
      return containerWork(deps, wanted, problems);
    case "automation":
      return automationWork(deps, wanted, problems);
    default:
      return kind satisfies never;
  }
}

function functionWork({ targets }: Deps, { submit, isStreamed, files }: Wanted, problems: Problem[]): Work | null {
  problems.push(...fileProblems(files));
  const name = submit.function ?? "";
  const known = targets.function(name);
  if (known === undefined) {
    const names = targets.functions().functions.map((one) => one.name);
    problems.push(unknownTarget("function", name, names, "/function"));
    return null;
  }
  problems.push(...paramProblems(known.params, submit.input ?? {}, "/input"));
  const { timeout, maxRetries = 0, supportsStreaming } = known.config;
  return {
    runner: "function",
    targets: [known.name],
    usualAttempts: maxRetries + 1,
    ...(timeout === undefined ? {} : { usualMs: timeout }),
    ...(isStreamed && supportsStreaming === true ? { options: { stream: true } } : {}),
  };
}

function containerWork({ targets }: Deps, { submit, address, files, nowMs }: Wanted, problems: Problem[]): Work {
  problems.push(...fileProblems(files));
  const ids = submit.containers ?? [];
  for (const [at, id] of ids.entries()) {
    const pointer = `/containers/${at}`;
    const known = targets.container(id);
    const names = () => targets.containers().containers.map((one) => one.id);
    if (known === undefined) problems.push(unknownTarget("container", id, names(), pointer));
    else if (at === 0 && !known.external) problems.push({ pointer, detail: "must not begin a chain: it is internal" });
    else if (!isAllowed(known, address)) problems.push({ pointer, detail: "must not be used from this address" });
  }
  return { runner: "container", targets: ids, ...chainTimeOf(submit, nowMs) };
}

function chainTimeOf({ deadline, delay, run_at: runAt }: Submit, nowMs = Date.now()): { options?: ChainTime } {
  if (deadline === undefined) return {};
  const chainMs = Math.ceil(deadline * 1_000);
  const startMs = runAt === undefined ? nowMs + (delay ?? 0) * 1_000 : Date.parse(runAt);
  return { options: { chainMs, deadlineMs: Math.max(nowMs, startMs) + chainMs } };
}

function automationWork({ targets }: Deps, { submit }: Wanted, problems: Problem[]): Work | null {
  const name = submit.automation ?? "";
  const known = targets.automation(name);
  if (known === undefined) {
    const names = targets.automations().automations.map((one) => one.name);
    problems.push(unknownTarget("automation", name, names, "/automation"));
    return null;
  }
  problems.push(...known.problems(submit.input).map((detail) => ({ pointer: "/input", detail })));
  return { runner: "automation", targets: [name], usualAttempts: automationAttempts };
}

function fileProblems(files: Origin["files"]): Problem[] {
  return files.length === 0
    ? []
    : [{ pointer: "", detail: "must have no files: only scripts and automations see them" }];
}

function timeoutOf({ settings }: Deps, submit: Submit, work: Work, problems: Problem[]): number {
  const { usualMs, maxMs } = settings.timeouts[work.runner];
  if (submit.timeout === undefined) return Math.min(work.usualMs ?? usualMs, maxMs);
  const asked = Math.ceil(submit.timeout * 1_000);
  if (asked > maxMs) {
    problems.push({
      pointer: "/timeout",
      detail: `must be at most ${maxMs / 1_000}, the server's maximum for this work`,
    });
  }
  return asked;
}

function refused(problem: Problem): { problems: Problem[]; value: undefined } {
  return { problems: [problem], value: undefined };
}
