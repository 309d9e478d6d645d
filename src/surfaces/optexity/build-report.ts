import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Sql } from "../../db/client.ts";
import type { DueDelivery } from "../../engine/delivery-queue.ts";
import { readPayload } from "../../engine/payloads.ts";
import type { FileStore } from "../../files/store.ts";
import type { BuiltBody } from "../../webhooks/delivery-kind.ts";
import { MultipartFile, type Packed } from "./archive.ts";
import { type CallbackDescriptor, type Descriptor, descriptorType, type ReportDescriptor } from "./reports.ts";

export type ReportBuilderOptions = {
  sql: Sql;
  files: FileStore;
  /** Whose disk the files may be on. */
  nodeId: string;
  /** For bodies while they are sent. */
  directory: string;
  /** What was sealed; null when no key of this node opens it. */
  open(sealed: string): string | null;
};

const screenshotBytesMax = 32 * 1_048_576;

/** Makes the bodies of reports that consist of files, from the payload of their job, when they are sent. */
export function createReportBuilder(options: ReportBuilderOptions) {
  return async (due: DueDelivery, signal: AbortSignal): Promise<BuiltBody | null> => {
    if (due.contentType !== descriptorType)
      return { contentType: due.contentType, body: due.body, close: async () => undefined };
    const descriptor: Descriptor = JSON.parse(due.body);
    if (descriptor.report === "initiate_callback") return callbackBody(options, descriptor);
    const payload = await readPayload(options.sql, descriptor.payload_id);
    if (payload === null || payload.cleaned) return null;
    if (options.files.kind === "local" && payload.nodeId !== null && payload.nodeId !== options.nodeId)
      throw new Error(`the files are on node ${payload.nodeId}`);
    if (descriptor.report === "save_output_data") return outputBody(options.files, descriptor);
    return multipartBody(options, descriptor, signal);
  };
}

/** Removes bodies that were on their way when the service was killed. */
export async function sweepReports(directory: string, olderThanMs: number): Promise<void> {
  const names = await readdir(directory).catch(() => []); // Before the first report there is no such directory.
  for (const name of names.filter((entry) => entry.endsWith(".multipart"))) {
    const found = await stat(join(directory, name)).catch(() => null); // Another process may be as quick.
    if (found !== null && Date.now() - found.mtimeMs > olderThanMs) await rm(join(directory, name), { force: true });
  }
}

function callbackBody(
  { open }: ReportBuilderOptions,
  { task_id, endpoint_name, sealed_callback }: CallbackDescriptor,
): BuiltBody {
  const callback = open(sealed_callback);
  if (callback === null) throw new Error("the callback was sealed with a key that this node does not have");
  const body = { task_id, endpoint_name, callback_url: JSON.parse(callback) as unknown };
  return { contentType: "application/json", body: JSON.stringify(body), close: async () => undefined };
}

async function outputBody(files: FileStore, descriptor: ReportDescriptor): Promise<BuiltBody> {
  const { task_id, output_data, final_screenshot, payload_id } = descriptor;
  const screenshot = final_screenshot === null ? null : await base64Of(files, payload_id, final_screenshot);
  return {
    contentType: "application/json",
    body: JSON.stringify({ task_id, output_data, final_screenshot: screenshot }),
    close: async () => undefined,
  };
}

async function base64Of(files: FileStore, payloadId: number, path: string): Promise<string | null> {
  const file = await files.open(payloadId, path);
  if (file.bytes > screenshotBytesMax) return null;
  return Buffer.from(await new Response(file.stream()).arrayBuffer()).toString("base64");
}

async function multipartBody(
  options: ReportBuilderOptions,
  descriptor: ReportDescriptor,
  signal: AbortSignal,
): Promise<BuiltBody> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const path = join(options.directory, `${crypto.randomUUID()}.multipart`);
  const body = new MultipartFile(path, signal);
  try {
    await body.field("task_id", descriptor.task_id);
    if (descriptor.report === "save_downloads") await addDownloads(body, options.files, descriptor);
    else await addTrajectory(body, options.files, descriptor);
    await body.end();
  } catch (fault) {
    body.abandon();
    await rm(path, { force: true });
    throw fault;
  }
  return { contentType: body.contentType, body: Bun.file(path), close: () => rm(path, { force: true }) };
}

async function addDownloads(body: MultipartFile, files: FileStore, descriptor: ReportDescriptor): Promise<void> {
  const { downloads, screenshots, final_screenshot: last } = descriptor;
  if (downloads.length > 0)
    await body.archive(
      "compressed_downloads",
      `${descriptor.task_id}.tar.gz`,
      packed(files, descriptor, downloads, "downloads/"),
    );
  for (const path of last === null ? screenshots : [...screenshots, last]) {
    const file = await files.open(descriptor.payload_id, path);
    const filename = path.split("/").at(-1) ?? path;
    await body.file("screenshots", { filename, mediaType: "image/png" }, file);
  }
}

/** Everything but the downloads, which have been reported. */
async function addTrajectory(body: MultipartFile, files: FileStore, descriptor: ReportDescriptor): Promise<void> {
  const manifest = await files.list(descriptor.payload_id);
  const paths = manifest.files.map(({ path }) => path).filter((path) => !path.startsWith("downloads/"));
  await body.archive("compressed_trajectory", `${descriptor.task_id}.tar.gz`, packed(files, descriptor, paths, ""));
}

/** Below a folder that is named like the task, as the original packs them. */
function packed(files: FileStore, descriptor: ReportDescriptor, paths: string[], without: string): Packed[] {
  return paths.map((path) => ({
    name: `${descriptor.task_id}/${path.slice(without.length)}`,
    open: () => files.open(descriptor.payload_id, path),
  }));
}
