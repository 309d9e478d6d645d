import type { Failure, Outcome, RunRequest, StopReason } from "../contract.ts";
import { containerError } from "./container-error.ts";
import type { LinkResult } from "./link.ts";

/** How a link's run ended. A recorded reason to stop wins over whatever the container said afterwards. */
export function outcomeOf(result: LinkResult | { stopped: StopReason }, request: RunRequest): Outcome {
  if ("stopped" in result) return stoppedOutcome(result.stopped, request);
  if ("error" in result) return { kind: "failed", error: result.error };
  const { output, json } = result;
  return json === undefined ? { kind: "succeeded", output } : { kind: "succeeded", output, outputJson: json };
}

function stoppedOutcome(reason: StopReason, { target, timeoutMs }: RunRequest): Outcome {
  switch (reason) {
    case "cancelled":
      return { kind: "cancelled" };
    case "timed_out":
      return {
        kind: "timed_out",
        message: containerError(target, `gave no result within ${timeoutMs / 1_000} s`).message,
      };
    case "interrupted":
    case "fenced":
      return { kind: "interrupted" };
    default:
      return stoppedBy(reason, target);
  }
}

/** A limit that was passed. The sandbox does not know the container's name. */
function stoppedBy(failure: Failure, target: string): Outcome {
  const named = containerError(target, "").message;
  const message = failure.message.startsWith(named) ? failure.message : `${named}${failure.message}`;
  if (failure.code === "timed_out") return { kind: "timed_out", message };
  return { kind: "failed", error: { code: failure.code, message } };
}
