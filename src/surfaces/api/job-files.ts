import { type JobPayload, payloadOfJob } from "../../engine/job-payload.ts";
import { EngineError } from "../../errors.ts";
import { contentDisposition } from "../../files/content-disposition.ts";
import { onThisNode } from "../../files/on-node.ts";
import { parseRange } from "../../files/range.ts";
import type { Manifest } from "../../files/manifest.ts";
import type { StoredFile } from "../../files/store.ts";
import { problem } from "../../http/problem.ts";
import { pathOf } from "../../http/refusal.ts";
import type { ApiDeps } from "./deps.ts";
import { jobLink } from "./job-body.ts";
import { noJob, requireJobId } from "./read-job.ts";
import type { FileList } from "./wire-job.ts";

type Deps = Pick<ApiDeps, "engine" | "files" | "settings">;

const noFiles: Manifest = { files: [], directories: [], links: [], skipped: [], bytes: 0 };

/** What the job's files are; a job without files has an empty list. */
export async function listFiles(deps: Deps, jobId: string): Promise<FileList> {
  const payload = await findPayload(deps, jobId);
  const manifest = payload === null ? noFiles : await onThisNode(here(deps), payload, (id) => deps.files.list(id));
  const self = jobLink(jobId, deps.settings.publicUrl);
  return {
    files: manifest.files.map((file) => ({
      path: file.path,
      bytes: file.bytes,
      sha256: file.sha256,
      media_type: file.mediaType,
      mode: file.mode,
      modified_at: file.modifiedAt,
      link: `${self}/files/${file.path.split("/").map(encodeURIComponent).join("/")}`,
    })),
    directories: manifest.directories,
    links: manifest.links,
    skipped: manifest.skipped,
    bytes: manifest.bytes,
    zip: `${self}/files.zip`,
  };
}

/** One file, or the part of it that `Range` asks for. `encodedPath` is as it stands in the URL. */
export async function sendFile(deps: Deps, request: Request, jobId: string, encodedPath: string): Promise<Response> {
  const path = decodedPath(encodedPath);
  const file = await withPayload(deps, jobId, (id) => deps.files.open(id, path));
  const headers = {
    "content-type": file.mediaType,
    "content-disposition": contentDisposition(file.path),
    "accept-ranges": "bytes",
    "cache-control": "private, no-cache",
    etag: file.etag,
    "last-modified": file.modifiedAt.toUTCString(),
  };
  if (knowsAlready(request, file.etag)) return new Response(null, { status: 304, headers });
  const range = parseRange(rangeOf(request, file), file.bytes);
  switch (range.kind) {
    case "whole":
      return new Response(file.stream(), { headers: { ...headers, "content-length": String(file.bytes) } });
    case "part":
      return new Response(file.stream(range), {
        status: 206,
        headers: {
          ...headers,
          "content-length": String(range.end - range.start + 1),
          "content-range": `bytes ${range.start}-${range.end}/${file.bytes}`,
        },
      });
    case "unsatisfiable":
      return unsatisfiable(request, file);
    default:
      return range satisfies never;
  }
}

/** All files as a zip, written while it is sent. */
export async function sendZip(deps: Deps, jobId: string): Promise<Response> {
  const stream = await withPayload(deps, jobId, (id) => deps.files.zip(id));
  const headers = {
    "content-type": "application/zip",
    "content-disposition": contentDisposition(`${jobId.replaceAll(":", "_")}.zip`),
    "cache-control": "no-store",
  };
  return new Response(stream, { headers });
}

async function withPayload<T>(deps: Deps, jobId: string, act: (payloadId: number) => Promise<T>): Promise<T> {
  const payload = await findPayload(deps, jobId);
  if (payload === null) throw new EngineError("not_found", `Job ${jobId} has no files`);
  return onThisNode(here(deps), payload, act);
}

async function findPayload({ engine }: Deps, givenId: string): Promise<JobPayload | null> {
  const jobId = requireJobId(givenId);
  const payload = await payloadOfJob(engine.db.sql, jobId);
  if (payload === "unknown") throw noJob(jobId);
  if (payload === "none") return null;
  if (payload.isCleaned) throw new EngineError("not_found", `The files of job ${jobId} were removed after their time`);
  return payload;
}

function here({ engine, files }: Deps) {
  return { files, nodeId: engine.nodeId };
}

function decodedPath(encoded: string): string {
  try {
    return encoded.split("/").map(decodeURIComponent).join("/");
  } catch (cause) {
    throw new EngineError("not_found", "The path of the file is not valid in a URL", { cause });
  }
}

function knowsAlready(request: Request, etag: string): boolean {
  const known = request.headers.get("if-none-match") ?? "";
  return known.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

/** A part is only wanted of the file that the caller has the rest of (RFC 9110, 13.1.5). */
function rangeOf(request: Request, { etag, modifiedAt }: StoredFile): string | null {
  const condition = request.headers.get("if-range");
  const holds = condition === null || condition === etag || condition === modifiedAt.toUTCString();
  return holds ? request.headers.get("range") : null;
}

function unsatisfiable(request: Request, file: StoredFile): Response {
  const detail = `The file has ${file.bytes} bytes, and the range lies beyond them`;
  const response = problem("invalid", detail, { status: 416, path: pathOf(request.url) });
  response.headers.set("content-range", `bytes */${file.bytes}`);
  return response;
}
