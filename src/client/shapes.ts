import type { Static } from "@sinclair/typebox";
import type { Job, fileListModel, jobListModel, runListModel, tokenModel } from "../surfaces/api/wire-job.ts";
import type { functionListModel } from "../surfaces/api/wire-service.ts";
import type { Submit } from "../surfaces/api/wire-submit.ts";

/*
 * The shapes of the API, taken from the models that the server checks requests against and documents its answers with. They
 * are types alone: nothing of the server is loaded.
 */

export type { Job, Submit };
export type JobPage = Static<typeof jobListModel>;
export type FileList = Static<typeof fileListModel>;
export type RunList = Static<typeof runListModel>;
export type JobToken = Static<typeof tokenModel>;
export type FunctionList = Static<typeof functionListModel>;
export type JobStatus = Job["status"];
export type JobError = NonNullable<Job["error"]>;

/** Which jobs a list shows; all conditions hold together. `q` searches ids, names, inputs, outputs and errors. */
export type JobFilter = {
  status?: JobStatus | readonly JobStatus[];
  surface?: string;
  runner?: Job["runner"];
  client?: string;
  tag?: string;
  q?: string;
  limit?: number;
  /** `next` of the page before. */
  after?: string;
};

/** A file to be sent along with a job. Scripts start with the one named `run.sh`. */
export type UploadFile = { name: string; content: Blob | string | Uint8Array<ArrayBuffer> };
