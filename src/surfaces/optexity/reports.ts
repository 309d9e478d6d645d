import type { Render, Told } from "../../engine/deliveries.ts";
import type { JobView } from "../../engine/job-view.ts";
import type { ChildIdentity } from "./deps.ts";
import { isFields } from "./field-checks.ts";
import { statusOf } from "./task-view.ts";

/** Where each report goes: full URLs. */
export type ReportUrls = {
  startTask: string;
  completeTask: string;
  saveOutputData: string;
  saveDownloads: string;
  saveTrajectory: string;
  initiateCallback: string;
};

/** A report whose body is made when it is sent, as it is stored until then. */
export type Descriptor = ReportDescriptor | CallbackDescriptor;

/** Of a callback, whose secrets are opened for its body alone. */
export type CallbackDescriptor = {
  report: "initiate_callback";
  task_id: string;
  endpoint_name: unknown;
  sealed_callback: string;
};

/** Of one whose body consists of files. */
export type ReportDescriptor = {
  report: "save_output_data" | "save_downloads" | "save_trajectory";
  task_id: string;
  payload_id: number;
  output_data: unknown[];
  /** Paths in the payload. */
  final_screenshot: string | null;
  downloads: string[];
  screenshots: string[];
};

export const descriptorType = "application/x-fairlead-report";

/** What the control plane is told: the start, then the end, the output, the downloads, the trajectory and the callback, in the document's order. */
export function createReportRender(urls: ReportUrls, child: ChildIdentity): Render {
  return (event, job) => {
    if (event === "started") return json(urls.startTask, startedBody(job));
    if (event === "output") return [];
    const told = [json(urls.completeTask, completedBody(job, child))];
    const left = leftBy(job);
    if (left !== null) told.push(...resultReports(urls, left));
    return [...told, ...callbackReports(urls, job)];
  };
}

function resultReports(urls: ReportUrls, left: Omit<ReportDescriptor, "report">): Told[] {
  const told: Told[] = [];
  if (left.output_data.length > 0 || left.final_screenshot !== null) told.push(outputReport(urls, left));
  if (left.downloads.length > 0 || left.screenshots.length > 0)
    told.push(filesReport(urls.saveDownloads, "save_downloads", left));
  told.push(filesReport(urls.saveTrajectory, "save_trajectory", left));
  return told;
}

/** Whoever stopped a task needs no word of it, so a cancelled one calls nobody back, as in the original. */
function callbackReports(urls: ReportUrls, { id, status, details }: JobView): Told[] {
  const { sealed_callback: sealed, endpoint_name } = details;
  if (typeof sealed !== "string" || status === "cancelled") return [];
  const descriptor: CallbackDescriptor = {
    report: "initiate_callback",
    task_id: id,
    endpoint_name,
    sealed_callback: sealed,
  };
  return [{ url: urls.initiateCallback, contentType: descriptorType, body: JSON.stringify(descriptor) }];
}

function startedBody(job: JobView): Record<string, unknown> {
  return {
    task_id: job.id,
    started_at: job.started_at ?? new Date().toISOString(),
    allocated_at: job.details.allocated_at ?? job.created_at,
  };
}

function completedBody(job: JobView, { processId }: ChildIdentity): Record<string, unknown> {
  return {
    task_id: job.id,
    child_process_id: processId,
    completed_at: job.finished_at ?? new Date().toISOString(),
    status: statusOf(job),
    error: job.status === "cancelled" ? "Task cancelled by user" : (job.error?.message ?? null),
    token_usage: noTokens,
    retry_count: Math.max(0, job.attempts - 1),
  };
}

/** No language model is asked. */
const noTokens = {
  input_tokens: 0,
  output_tokens: 0,
  tool_use_tokens: 0,
  thoughts_tokens: 0,
  total_tokens: 0,
  calculated_total_tokens: 0,
  input_cost: 0,
  output_cost: 0,
  tool_use_cost: 0,
  thoughts_cost: 0,
  total_cost: 0,
};

/** What the run has left behind; null when there was none. */
function leftBy(job: JobView): Omit<ReportDescriptor, "report"> | null {
  if (job.started_at === null || job.payload === null) return null;
  const output = job.tasks.at(-1)?.output;
  const fields = isFields(output) ? output : {};
  const texts = (value: unknown) => (Array.isArray(value) ? value.filter((item) => typeof item === "string") : []);
  return {
    task_id: job.id,
    payload_id: job.payload.id,
    output_data: Array.isArray(fields.output_data) ? fields.output_data : [],
    final_screenshot: typeof fields.final_screenshot === "string" ? fields.final_screenshot : null,
    downloads: texts(fields.downloads).map((name) => `downloads/${name}`),
    screenshots: texts(fields.screenshots).map((name) => `screenshots/${name}`),
  };
}

function outputReport(urls: ReportUrls, left: Omit<ReportDescriptor, "report">): Told {
  if (left.final_screenshot !== null) return filesReport(urls.saveOutputData, "save_output_data", left);
  return json(urls.saveOutputData, { task_id: left.task_id, output_data: left.output_data, final_screenshot: null });
}

function filesReport(url: string, report: ReportDescriptor["report"], left: Omit<ReportDescriptor, "report">): Told {
  const outputData = report === "save_output_data" ? left.output_data : [];
  const descriptor: ReportDescriptor = { report, ...left, output_data: outputData };
  return { url, contentType: descriptorType, body: JSON.stringify(descriptor) };
}

function json(url: string, body: unknown): Told {
  return { url, contentType: "application/json", body: JSON.stringify(body) };
}
