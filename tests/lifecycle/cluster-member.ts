import { expect } from "bun:test";
import { unzipSync } from "fflate";
import type { Job } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";

/** A node of a cluster, with a disk of its own. */
export type Member = ServerProcess & { dataDir: string };
export type Files = Record<string, string | Uint8Array<ArrayBuffer>>;

/** Starts one; `words` are arguments of `serve`. */
export async function startMember(
  database: { url: string },
  more: Record<string, string> = {},
  words: string[] = [],
): Promise<Member> {
  const dataDir = scratchDirectory("data");
  const environment = {
    DATABASE_URL: database.url,
    DATA_DIR: dataDir,
    FUNCTIONS_DIR: supportFunctions,
    SANDBOX: "none",
    ...more,
  };
  return Object.assign(await spawnServer(environment, words).ready(), { dataDir });
}

export function formOf(files: Files, job?: object): FormData {
  const form = new FormData();
  if (job !== undefined) form.append("job", JSON.stringify(job));
  for (const [name, content] of Object.entries(files)) form.append("file", new File([content], name));
  return form;
}

/** Submits a script with its files by our own API. */
export async function submitFiles(node: Member, files: Files): Promise<Job> {
  const response = await node.call("/api/v1/jobs", { method: "POST", body: formOf(files, { tags: ["f"] }) });
  expect(response.status).toBe(202);
  return (await response.json()) as Job;
}

/** The same by the orchestrator's. Returns the payload's id. */
export async function submitPayload(node: Member, files: Files): Promise<number> {
  const response = await node.call("/submit", { method: "POST", body: formOf(files) });
  expect(response.status).toBe(200);
  return ((await response.json()) as { id: number }).id;
}

/** The files of a zip, or null when the answer is none. */
export async function unzipped(node: Member, path: string): Promise<Record<string, Uint8Array> | null> {
  const response = await node.call(path);
  if (response.headers.get("content-type") !== "application/zip") return null;
  return unzipSync(new Uint8Array(await response.arrayBuffer()));
}
