import postgres from "postgres";
import type { ActiveRun, Outcome, RunRequest, RunSink, Runner, StopReason } from "../../src/runners/contract.ts";
import { scriptedFacts } from "../support/scripted-runner.ts";
import type { ChildOptions } from "./child.ts";

/** What the load asks of a run, as its input. */
export type WorkInput = { n: number; ms: number };

/**
 * Work that leaves a trace of its own of each time it is executed. It obeys nobody but a cancel: a run that lost its task
 * goes on and reports its result, which is what the fence is for.
 */
export function createWork({ address, nodeId }: ChildOptions): Runner {
  const trace = postgres({ ...address, max: 2, onnotice: () => undefined });
  async function execute(request: RunRequest, sink: RunSink): Promise<Outcome> {
    const { n, ms } = request.input as WorkInput;
    await trace`INSERT INTO executions (job_id, task, run_id, node, pid)
      VALUES (${request.jobId}, ${request.taskIndex}, ${request.runId}::uuid, ${nodeId}, ${process.pid})`;
    sink.log("info", `begins as ${request.runId}`);
    await Bun.sleep(ms);
    sink.progress(0.5);
    await Bun.sleep(ms);
    if (request.target === "flaky" && request.attempt === 1)
      return { kind: "failed", error: { code: "function_error", message: "not at once" } };
    return { kind: "succeeded", output: { n: n + 1, ms, run: request.runId } };
  }
  return {
    name: "function",
    start(request, sink): ActiveRun {
      const cancelled = Promise.withResolvers<Outcome>();
      const done = Promise.race([execute(request, sink), cancelled.promise]).then((outcome) => ({
        outcome,
        facts: scriptedFacts,
      }));
      const stop = (reason: StopReason) => {
        if (reason === "cancelled") cancelled.resolve({ kind: "cancelled" });
      };
      return { done, stop };
    },
    close: () => trace.end(),
  };
}
