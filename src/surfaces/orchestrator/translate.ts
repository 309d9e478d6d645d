import type { PayloadState } from "../../engine/payloads.ts";
import type { PayloadStatus, WirePayload } from "./wire.ts";

/** A payload in the protocol's words. `location` is relative: the host's layout is nobody's business. */
export function wirePayload(state: PayloadState, location: string): WirePayload {
  const status = statusOf(state);
  return { id: state.id, status, loc: location, input: {}, pid: 0, killed: status === "Killed" };
}

/** `Invalid` when there were files and nothing among them to run, `Cleaned` once they are past their age. */
export function statusOf(state: Pick<PayloadState, "status" | "error" | "cleaned" | "files">): PayloadStatus {
  if (state.cleaned) return "Cleaned";
  switch (state.status) {
    case "queued":
      return "Prepared";
    case "running":
      return "Running";
    case "succeeded":
      return "Completed";
    case "cancelled":
      return "Killed";
    case "failed":
      return state.error?.code === "invalid" && state.files > 0 ? "Invalid" : "Failed";
    default:
      return state.status satisfies never;
  }
}

/** A payload's id in a path: a positive integer that fits the database's, else null. */
export function payloadIdOf(text: string): number | null {
  if (!/^\d{1,10}$/.test(text)) return null;
  const id = Number(text);
  return id >= 1 && id <= 2_147_483_647 ? id : null;
}
