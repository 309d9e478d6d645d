import { EngineError } from "../errors.ts";
import type { BucketOptions } from "./bucket.ts";
import { sendSigned } from "./signed-request.ts";

type Unfinished = { key: string; uploadId: string; initiatedMs: number };

const pagesMax = 100;
const awsEndpoint = (region: string) => `https://s3.${region}.amazonaws.com`;
/** Stores that cannot list them, or let this key not do so, end them by a rule of the bucket. */
const cannotStatuses = [400, 403, 404, 405, 501];

/**
 * Ends multipart uploads below `prefix` that were begun that long ago and neither completed nor aborted, as a killed node leaves them: their
 * parts are paid for and seen nowhere. Returns how many; none where the store does not list them.
 */
export async function abortUploads(bucket: BucketOptions, prefix: string, olderThanMs: number): Promise<number> {
  const limitMs = Date.now() - olderThanMs;
  let aborted = 0;
  let from: Record<string, string> = {};
  for (let page = 0; page < pagesMax; page++) {
    const listed = await list(bucket, { prefix, ...from });
    for (const { key, uploadId, initiatedMs } of listed.uploads) {
      // One whose age cannot be read may be under way, and one elsewhere is somebody else's.
      if (!(initiatedMs <= limitMs) || !key.startsWith(prefix)) continue;
      const answer = await ask(bucket, "DELETE", key, { uploadId });
      if (answer.ok) aborted++;
    }
    if (listed.next === null) break;
    from = listed.next;
  }
  return aborted;
}

async function list(bucket: BucketOptions, query: Record<string, string>) {
  const answer = await ask(bucket, "GET", "", { uploads: "", ...query });
  const text = await answer.text();
  if (cannotStatuses.includes(answer.status)) return { uploads: [], next: null };
  if (!answer.ok) throw new EngineError("unavailable", `The object store cannot be used (${answer.status})`);
  const uploads = [...text.matchAll(/<Upload>(.*?)<\/Upload>/gs)].map(([, upload = ""]): Unfinished => ({
    key: textIn(upload, "Key"),
    uploadId: textIn(upload, "UploadId"),
    initiatedMs: Date.parse(textIn(upload, "Initiated")),
  }));
  const isCut = textIn(text, "IsTruncated") === "true";
  const next = { "key-marker": textIn(text, "NextKeyMarker"), "upload-id-marker": textIn(text, "NextUploadIdMarker") };
  return { uploads, next: isCut ? next : null };
}

async function ask(bucket: BucketOptions, method: "GET" | "DELETE", key: string, query: Record<string, string>) {
  const endpoint = bucket.endpoint === "" ? awsEndpoint(bucket.region) : bucket.endpoint;
  const path = key === "" ? [bucket.bucket] : [bucket.bucket, key];
  try {
    return await sendSigned(bucket, { method, endpoint, path, query });
  } catch (cause) {
    throw new EngineError("unavailable", "The object store cannot be reached", { cause });
  }
}

/** The text of the first such element, with XML's own entities read. */
function textIn(xml: string, element: string): string {
  const text = new RegExp(`<${element}>([^<]*)</${element}>`).exec(xml)?.[1] ?? "";
  const named: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name) => {
    if (name !== undefined) return named[name] ?? all;
    return String.fromCodePoint(Number.parseInt(hex ?? decimal, hex === undefined ? 10 : 16));
  });
}
