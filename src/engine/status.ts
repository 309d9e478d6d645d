/** Every status a job or a task can have. */
export const statuses = ["queued", "running", "succeeded", "failed", "cancelled"] as const;
export type Status = (typeof statuses)[number];
export type FinalStatus = "succeeded" | "failed" | "cancelled";

const moves: Record<Status, readonly Status[]> = {
  queued: ["running", "cancelled"],
  running: ["succeeded", "failed", "cancelled", "queued"],
  succeeded: ["queued"],
  failed: ["queued"],
  cancelled: ["queued"],
};

/** Nothing more will happen by itself. */
export function isFinal(status: Status): status is FinalStatus {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

/** Whether a task may go from one status to the other. A final one moves only when somebody asks for a retry. */
export function mayMove(from: Status, to: Status): boolean {
  return moves[from].includes(to);
}
