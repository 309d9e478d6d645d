/**
 * The words of the job-orchestrator's client. Source: rvhonorato/job-orchestrator, docs/src/api/client-endpoints.md, and the code of its
 * server, which decodes strictly: all six fields must always be there, and `status` must be a word that it knows.
 */

export const payloadStatuses = [
  "Prepared",
  "Running",
  "Completed",
  "Failed",
  "Killed",
  "Invalid",
  "Cleaned",
  "Unknown",
] as const;
export type PayloadStatus = (typeof payloadStatuses)[number];

/** The payload as the server reads it. `input` is the upload echoed in the original; an empty object is all that its reader needs. */
export type WirePayload = {
  id: number;
  status: PayloadStatus;
  loc: string;
  input: Record<string, never>;
  pid: number;
  killed: boolean;
};

/** What stands for a payload that is not there. */
export const unknownPayload: WirePayload = { id: 0, status: "Unknown", loc: "", input: {}, pid: 0, killed: false };
