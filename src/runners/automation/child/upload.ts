import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import type { Locator } from "playwright-core";
import type { ElementAction } from "../document-model.ts";
import { fetchBounded } from "./fetch-bounded.ts";
import { safeName } from "./file-names.ts";
import type { Session } from "./session.ts";
import { AutomationFault } from "../automation-fault.ts";

const fetchTimeoutMs = 120_000;
const extensions: Record<string, string> = {
  "application/pdf": ".pdf",
  "application/json": ".json",
  "text/csv": ".csv",
  "text/plain": ".txt",
  "image/png": ".png",
  "image/jpeg": ".jpg",
  "application/zip": ".zip",
};

/** Hands a file of the payload, of AUTOMATIONS_DIR, or from an address to a file input, which may be invisible. */
export async function uploadFile(
  session: Session,
  action: Extract<ElementAction, { name: "upload_file" }>,
  locator: Locator,
): Promise<void> {
  const timeout = action.tries.perTryS * 1_000;
  await locator.waitFor({ state: "attached", timeout });
  if (action.filePath !== null) {
    await locator.setInputFiles(session.files.uploadable(session.scope.fill(action.filePath)), { timeout });
    return;
  }
  // The page reads the file when it likes, so it stays until the task has ended.
  const directory = await mkdtemp(join(tmpdir(), "upload-"));
  session.temporary.push(directory);
  await locator.setInputFiles(await fetched(session, session.scope.fill(action.fileUrl ?? ""), directory), { timeout });
}

async function fetched(session: Session, url: string, directory: string): Promise<string> {
  const bytesMax = session.order.fileBytesMax;
  const answer = await fetchBounded(url, { timeoutMs: fetchTimeoutMs, bytesMax, redirects: true });
  if (answer.status < 200 || answer.status > 299)
    throw new AutomationFault(`the file at ${url} answered ${answer.status}`);
  const name = safeName(namedBy(answer.headers) ?? basename(new URL(url).pathname), "upload");
  const type = (answer.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
  const path = join(directory, extname(name) === "" ? name + (extensions[type] ?? "") : name);
  await writeFile(path, answer.body);
  return path;
}

function namedBy(headers: Record<string, string>): string | null {
  return /filename="?([^";]+)"?/i.exec(headers["content-disposition"] ?? "")?.[1] ?? null;
}
