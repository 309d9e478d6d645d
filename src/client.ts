import { type EventOptions, followEvents } from "./client/follow-events.ts";
import { jobForm } from "./client/job-form.ts";
import type { JobEvent } from "./client/job-event.ts";
import { createSend, type Fetch, readJson, type Send } from "./client/send.ts";
import type { FileList, Job, JobFilter, JobPage, JobToken, RunList, Submit, UploadFile } from "./client/shapes.ts";
import { waitForEnd, type WaitOptions } from "./client/wait-for-end.ts";

export { ApiError, ConnectionError } from "./client/api-error.ts";
export type {
  EventOptions,
  Fetch,
  FileList,
  Job,
  JobEvent,
  JobFilter,
  JobPage,
  JobToken,
  RunList,
  Submit,
  UploadFile,
  WaitOptions,
};

export type ClientOptions = {
  /** Where the service is, such as `http://127.0.0.1:8080`. */
  url: string;
  /** A key of `AUTH_KEY`, or a token for one job. */
  key?: string;
  /** Instead of the global `fetch`. */
  fetch?: Fetch;
};

export type SubmitOptions = {
  files?: readonly UploadFile[];
  /** The same key with the same job returns the first answer: makes it safe to submit again after a lost answer. */
  idempotencyKey?: string;
  signal?: AbortSignal;
};

/**
 * A client of the API under `/api/v1`. Every call throws `ApiError` when the service refuses and `ConnectionError` when there is no answer;
 * `wait` and `events` outlast restarts of the service. Needs nothing but `fetch`.
 */
export type Client = {
  /** Resolves once the job is accepted, which means committed. */
  submit(job: Submit, options?: SubmitOptions): Promise<Job>;
  /** The job once it has ended, or as it is after `timeoutMs`. */
  wait(id: string, options?: WaitOptions): Promise<Job>;
  /** The job's history and then what happens, without a gap, until the job has ended. */
  events(id: string, options?: EventOptions): AsyncGenerator<JobEvent>;
  job(id: string): Promise<Job>;
  /** One page, newest first. */
  jobs(filter?: JobFilter): Promise<JobPage>;
  /** Every execution of its tasks, those that were lost or interrupted too. */
  runs(id: string): Promise<RunList>;
  cancel(id: string): Promise<Job>;
  /** Another turn of a job that has ended, from a task of its chain, with another input when one is given. */
  retry(id: string, changes?: { input?: unknown; fromTask?: number }): Promise<Job>;
  files(id: string): Promise<FileList>;
  /** One file as it comes; `body` of the answer is its stream. */
  file(id: string, path: string, options?: { range?: string; signal?: AbortSignal }): Promise<Response>;
  /** A token that reads this one job, for `EventSource` and links: append `?token=`. */
  token(id: string, options?: { ttlS?: number }): Promise<JobToken>;
  /** Any other call: sends to a path below the service's address. */
  send: Send;
};

/** Throws `TypeError` when `url` cannot be the address of a service. */
export function createClient(options: ClientOptions): Client {
  const send = createSend(options);
  const post = (path: string, body: unknown = {}) =>
    send(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return {
    submit: async (job, given = {}) => readJson(await send(jobsPath, submitRequest(job, given))),
    wait: (id, given) => waitForEnd(send, pathOf(id), given),
    events: (id, given) => followEvents(send, pathOf(id, "events"), given),
    job: async (id) => readJson(await send(pathOf(id))),
    jobs: async (filter = {}) => readJson(await send(`${jobsPath}${queryOf(filter)}`)),
    runs: async (id) => readJson(await send(pathOf(id, "runs"))),
    cancel: async (id) => readJson(await post(pathOf(id, "cancel"))),
    retry: async (id, { input, fromTask } = {}) =>
      readJson(
        await post(pathOf(id, "retry"), {
          ...(input === undefined ? {} : { input }),
          ...(fromTask === undefined ? {} : { from_task: fromTask }),
        }),
      ),
    files: async (id) => readJson(await send(pathOf(id, "files"))),
    file: (id, path, { range, signal } = {}) =>
      send(pathOf(id, "files", ...path.split("/")), {
        headers: { accept: "*/*", ...(range === undefined ? {} : { range }) },
        ...(signal === undefined ? {} : { signal }),
      }),
    token: async (id, { ttlS } = {}) =>
      readJson(await post(pathOf(id, "token"), ttlS === undefined ? {} : { ttl: ttlS })),
    send,
  };
}

const jobsPath = "/api/v1/jobs";

/** What a URL would resolve away is nobody's name. */
function pathOf(id: string, ...segments: string[]): string {
  const names = [id, ...segments];
  const strange = names.find((name) => ["", ".", ".."].includes(name));
  if (strange !== undefined) throw new TypeError(`"${strange}" cannot be part of the path of a job`);
  return [jobsPath, ...names.map(encodeURIComponent)].join("/");
}

function submitRequest(job: Submit, { files = [], idempotencyKey, signal }: SubmitOptions) {
  const key: Record<string, string> = idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
  const stop = signal === undefined ? {} : { signal };
  if (files.length > 0) return { method: "POST", headers: key, body: jobForm(job, files), ...stop } as const;
  const headers = { "content-type": "application/json", ...key };
  return { method: "POST", headers, body: JSON.stringify(job), ...stop } as const;
}

function queryOf(filter: JobFilter): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? "" : `?${query}`;
}
