import type { Log } from "../../log.ts";
import type { Failure, RunFacts, RunRequest, RunSink, StopReason } from "../contract.ts";
import { type Limits, limitsInForce } from "../limits.ts";
import type { SandboxChoice } from "../sandbox/choose.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { Stopping } from "../sandbox/stopping.ts";
import { runSandboxed, type SandboxedEnd } from "../sandbox/supervise.ts";
import { containerError } from "./container-error.ts";
import type { ExecContainer } from "./definition.ts";
import { type ExecCommand, execCommand } from "./exec-command.ts";
import { collectAnswer, collectErrors } from "./exec-output.ts";
import { makeScratch } from "./exec-scratch.ts";
import type { Link, LinkResult } from "./link.ts";

export type ExecOptions = {
  sandbox: Pick<SandboxChoice, "sandbox" | "refusal" | "warning">;
  /** Below the data directory: one directory per run, removed after it. */
  scratchDir: string;
  /** The most that a command may have. */
  limits: Limits;
  graceMs: number;
  answerBytesMax: number;
  /** Removes a directory that user code has written to. */
  removeTree: (directory: string) => Promise<unknown>;
  log: Log;
};

export type ExecRun = { container: ExecContainer; request: RunRequest; link: Link; sink: RunSink; stopping: Stopping };
export type ExecResult = { result: LinkResult | { stopped: StopReason }; facts: RunFacts | null };

/**
 * Runs a container's command in the sandbox of scripts: the link's `data` as JSON on stdin, the output as one JSON document on
 * stdout (or, for a stream, any text), stderr as log events. Never rejects for what the command does.
 */
export async function runExec(options: ExecOptions, run: ExecRun): Promise<ExecResult> {
  const { container, request } = run;
  const { sandbox, refusal, warning } = options.sandbox;
  if (sandbox === null) {
    const message = containerError(container.id, refusal ?? "there is no sandbox").message;
    return { result: { error: { code: "sandbox_unavailable", message } }, facts: null };
  }
  if (warning !== null) run.sink.log("warn", warning);
  const scratch = makeScratch(options.scratchDir, request.runId);
  try {
    const isForeign = sandbox.accounts !== null;
    const isIsolated = sandbox.driver.name !== "none";
    const command = execCommand(container, request, run.link, { scratch, isForeign, isIsolated });
    return await perform(options, run, { sandbox, scratch, command });
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    return { result: { error: containerError(container.id, reason) }, facts: null };
  } finally {
    await clear(options, scratch);
  }
}

type Prepared = { sandbox: Sandbox; scratch: string; command: ExecCommand };

async function perform(options: ExecOptions, run: ExecRun, prepared: Prepared): Promise<ExecResult> {
  const { container, request, link, sink, stopping } = run;
  const limits = limitsFor(options.limits, container, request);
  const errors = collectErrors(sink, limits.outputMb);
  const answer = collectAnswer({
    bytesMax: options.answerBytesMax,
    onTooLarge: () => stopping.stop(containerError(container.id, tooLarge(options.answerBytesMax))),
    onText: link.isStream ? (text) => sink.output("stream", text) : null,
  });
  const { command, environment, readOnly } = prepared.command;
  const sandboxed = runSandboxed(prepared.sandbox, {
    ...{ runId: request.runId, command, environment, readOnly, limits },
    ...{ directory: prepared.scratch, timeoutMs: request.timeoutMs, graceMs: options.graceMs },
    stdin: new TextEncoder().encode(link.inputJson),
    onOutput: answer.take,
    onErrors: errors.take,
  });
  void stopping.asked.then((reason) => sandboxed.stop(reason));
  const end = await sandboxed.done;
  const tail = errors.finish();
  if (end.reason !== null) return { result: { stopped: end.reason }, facts: end.facts };
  const error = failureOf(container.id, end, tail);
  if (error !== null) return { result: { error }, facts: end.facts };
  return { result: parse(container.id, link, await answer.text()), facts: end.facts };
}

/** A request gets at most what the entry has, and an entry at most what the server allows. The network is the entry's to grant. */
function limitsFor(maximum: Limits, container: ExecContainer, request: RunRequest): Limits {
  const own = limitsInForce(container.limits, maximum);
  return limitsInForce({ network: own.network, ...request.limits }, own);
}

function failureOf(id: string, end: SandboxedEnd, tail: string): Failure | null {
  const { exitCode, signal } = end.facts;
  const said = tail === "" ? "" : `: ${tail}`;
  if (end.fault !== null) return containerError(id, `the command could not be started: ${end.fault}`);
  if (exitCode === 0) return null;
  if (end.outOfMemoryKills > 0) {
    return { code: "out_of_memory", message: containerError(id, `the command ran out of memory${said}`).message };
  }
  return containerError(id, signal === null ? `exited with ${exitCode}${said}` : `was killed by ${signal}${said}`);
}

function parse(id: string, link: Link, text: string): LinkResult {
  if (link.isStream) return { output: { output: text } };
  if (text.trim() === "") return { error: containerError(id, "wrote nothing on stdout, where its JSON is expected") };
  try {
    return { output: JSON.parse(text), json: text };
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    return { error: containerError(id, `stdout is not JSON: ${reason} (it says: ${text.slice(0, 200)})`) };
  }
}

function tooLarge(bytesMax: number): string {
  return `stdout has more than ${bytesMax} bytes`;
}

async function clear(options: ExecOptions, scratch: string): Promise<void> {
  try {
    await options.removeTree(scratch);
  } catch (fault) {
    options.log.warn("container.scratch_left", { scratch, fault });
  }
}
