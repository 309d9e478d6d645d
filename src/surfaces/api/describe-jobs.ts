import { statuses } from "../../engine/status.ts";
import { searchCharsMax } from "../../engine/search.ts";
import { runnerNames } from "../../runners/contract.ts";
import { surfaceNames } from "../../settings/surface-names.ts";
import { type Answer, describe, header, json, type Parameter, ref } from "./describe.ts";
import { batchExamples, jobExample, queuedExample, runsExample, streamExample, submitExamples } from "./examples.ts";
import { limitMax } from "./list-jobs.ts";

const tag = "jobs";
const location = { Location: header("Where the job is") };
const accepted = (description: string, headers: Record<string, ReturnType<typeof header>> = {}): Answer => ({
  description,
  content: json("Job", queuedExample),
  headers,
});
const done: Answer = { description: "The job", content: json("Job", jobExample) };
const query = (name: string, description: string, schema: Record<string, unknown>): Parameter => ({
  name,
  in: "query",
  description,
  schema,
});
const requestHeader = (name: string, description: string): Parameter => ({
  name,
  in: "header",
  description,
  schema: { type: "string" },
});
const stream: Answer = {
  description: "The events as they happen",
  content: {
    "text/event-stream": { schema: ref("Event"), example: streamExample },
    "application/x-ndjson": { schema: ref("Event") },
  },
};
const idempotencyKey = requestHeader("Idempotency-Key", "The same key with the same body finds the same job");

const submitHeaders = {
  ...location,
  "Preference-Applied": header("What of `Prefer` was granted"),
  "Fairlead-Deduplicated": header("`true` when the job of another submission holds the dedup key"),
  "Idempotency-Replayed": header("`true` when the key was used before with the same body"),
  Vary: header("Prefer, Accept"),
};

export const submitJob = describe({
  id: "submitJob",
  tag,
  summary: "Submit a job",
  description:
    "Answered once the job is committed. Exactly one of `function`, `script`, `containers` and `automation` says what runs; a form with files may hold a `run.sh` instead. The same `id` again with the same body finds the same job.",
  parameters: [
    requestHeader("Prefer", "`wait=N`: answer when the job has ended, at most N seconds later. `respond-async`"),
    idempotencyKey,
    requestHeader("traceparent", "W3C trace context, handed to the work"),
  ],
  body: {
    content: {
      "application/json": { schema: ref("Submit"), examples: submitExamples },
      "multipart/form-data": {
        schema: {
          type: "object",
          description: "Every part with a filename is a file",
          properties: { job: { type: "string", description: "The JSON" }, file: { type: "string", format: "binary" } },
        },
      },
    },
  },
  answers: {
    200: {
      description: "The job, ended within the wait; or the job that holds the dedup key; or the stream",
      content: { ...json("Job", jobExample), ...stream.content },
      headers: submitHeaders,
    },
    202: accepted("Accepted", submitHeaders),
  },
  refusals: [
    "invalid",
    "conflict",
    "idempotency_mismatch",
    "too_large",
    "unsupported_media_type",
    "queue_full",
    "draining",
    "unavailable",
  ],
});

export const submitJobs = describe({
  id: "submitJobs",
  tag,
  summary: "Submit many jobs",
  description: "Up to 1,000, each for itself, or with `atomic` all or none. An entry an item, in order.",
  parameters: [query("atomic", "All of them or none", { type: "boolean", default: false }), idempotencyKey],
  body: { content: { "application/json": { schema: ref("Batch"), examples: batchExamples } } },
  answers: {
    200: {
      description: "What became of each",
      content: json("BatchAnswer", [{ job: queuedExample }, { job: queuedExample }]),
    },
  },
  refusals: ["invalid", "conflict", "too_large", "unsupported_media_type", "queue_full", "draining", "unavailable"],
});

export const listJobs = describe({
  id: "listJobs",
  tag,
  summary: "List and search jobs",
  description:
    "Newest first. A page may hold fewer jobs than `limit`, even none, and still have a `next`: every request looks at a bounded number of jobs.",
  parameters: [
    query("status", "Some of these, separated by commas", {
      type: "string",
      pattern: `^(${statuses.join("|")})(,(${statuses.join("|")}))*$`,
    }),
    query("surface", "The protocol they came in by", { type: "string", enum: [...surfaceNames] }),
    query("runner", "What their first task is", { type: "string", enum: [...runnerNames] }),
    query("client", "Who submitted them", { type: "string", maxLength: 300 }),
    query("tag", "A tag they have", { type: "string", maxLength: 100 }),
    query("q", "Text in ids, names, inputs, outputs or errors, whatever its case", {
      type: "string",
      maxLength: searchCharsMax,
    }),
    query("limit", "Jobs of a page", { type: "integer", minimum: 1, maximum: limitMax, default: 50 }),
    query("after", "`next` of the page before", { type: "string", maxLength: 600 }),
  ],
  answers: { 200: { description: "A page", content: json("JobList", { jobs: [jobExample], next: null }) } },
  refusals: ["invalid", "unavailable"],
});

export const getJob = describe({
  id: "getJob",
  tag,
  summary: "Read a job",
  parameters: [
    query("wait", "Seconds to wait for its end", { type: "integer", minimum: 0, maximum: 86_400, default: 0 }),
  ],
  answers: { 200: done },
  refusals: ["invalid", "not_found"],
});

export const deleteJob = describe({
  id: "deleteJob",
  tag,
  summary: "Delete a job that has ended, with its files and events",
  answers: { 204: { description: "Gone" } },
  refusals: ["not_found", "not_final"],
});

export const getJobEvents = describe({
  id: "getJobEvents",
  tag,
  summary: "Follow a job",
  description:
    "Everything from the first event on, then what happens, without gaps, until `completed`, which is the last. Goes on behind `Last-Event-ID` or `after`.",
  parameters: [
    query("after", "Number of the last event that is known", { type: "integer", minimum: 0, default: 0 }),
    requestHeader("Last-Event-ID", "The same, as an EventSource sends it; wins over `after`"),
  ],
  answers: { 200: stream, 204: { description: "Nothing follows: the job has ended, and its last event is known" } },
  refusals: ["invalid", "not_found"],
});

export const listRuns = describe({
  id: "listRuns",
  tag,
  summary: "Every execution of a job's tasks",
  answers: { 200: { description: "Oldest first", content: json("RunList", runsExample) } },
  refusals: ["not_found"],
});

export const cancelJob = describe({
  id: "cancelJob",
  tag,
  summary: "Cancel a job",
  answers: { 200: { ...done, description: "Cancelled" }, 202: accepted("What runs is being stopped") },
  refusals: ["not_found", "conflict"],
});

export const retryJob = describe({
  id: "retryJob",
  tag,
  summary: "Run a job once more that has ended",
  body: {
    required: false,
    content: {
      "application/json": {
        schema: ref("Retry"),
        examples: { edited: { summary: "With another input", value: { input: { name: "Grace" } } } },
      },
    },
  },
  answers: { 202: accepted("Queued again") },
  refusals: ["invalid", "not_found", "not_final", "conflict", "too_large"],
});

export const releaseJob = describe({
  id: "releaseJob",
  tag,
  summary: "Queue a job that is held",
  answers: { 202: accepted("Queued") },
  refusals: ["not_found", "not_held"],
});

export const createJobToken = describe({
  id: "createJobToken",
  tag,
  summary: "Make a token that reads this job",
  description: "For browsers: as `?token=` of the job, its events, runs and files. It opens nothing else.",
  body: {
    required: false,
    content: {
      "application/json": {
        schema: ref("TokenRequest"),
        examples: { hour: { summary: "For ten minutes", value: { ttl: 600 } } },
      },
    },
  },
  answers: {
    200: {
      description: "The token",
      content: json("Token", { token: "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", expires_at: "2026-08-06T12:10:00.000Z" }),
    },
  },
  refusals: ["invalid", "not_found", "too_large"],
});
