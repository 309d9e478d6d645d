import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Extraction } from "../document-model.ts";
import type { NetworkCall } from "./network-log.ts";
import type { Session } from "./session.ts";
import type { StepResult } from "./steps.ts";

type NetworkExtraction = Extract<Extraction, { name: "network_call" }>;

/** Adds the bodies of the calls since the last interaction whose URL contains the pattern, and keeps them as files if asked. */
export async function extractNetworkCalls(
  session: Session,
  extraction: NetworkExtraction,
  identifier: string | null,
): Promise<StepResult> {
  const pattern = extraction.urlPattern === null ? null : session.scope.fill(extraction.urlPattern);
  const calls = session.network.matching(pattern);
  for (const call of calls) {
    if (extraction.downloadFrom !== null) await keep(session, call, extraction);
    if (extraction.extractFrom === null) continue;
    session.outputs.add({ body: await bodyOf(call, extraction.extractFrom) }, identifier);
  }
  return calls.length === 0 ? { skipped: `no call since the last interaction matches ${pattern ?? "anything"}` } : null;
}

async function bodyOf(call: NetworkCall, from: "request" | "response"): Promise<unknown> {
  const text = from === "request" ? call.requestBody : ((await call.responseBody())?.toString("utf8") ?? null);
  return text === null ? null : jsonOrText(text);
}

/** `request` asks again for what the page asked for; `response` keeps what the page was given. */
async function keep(session: Session, call: NetworkCall, extraction: NetworkExtraction): Promise<void> {
  const bytes = extraction.downloadFrom === "response" ? await call.responseBody() : await repeat(session, call);
  if (bytes === null) {
    session.log.write("warn", `The browser no longer has the body of ${session.scope.mask(call.url)}`);
    return;
  }
  const proposed =
    extraction.downloadFilename === null
      ? basename(new URL(call.url).pathname)
      : session.scope.fill(extraction.downloadFilename);
  const { path, name } = session.files.place("downloads", proposed, "response");
  await writeFile(path, bytes);
  session.downloads.add(name);
}

async function repeat(session: Session, call: NetworkCall): Promise<Buffer> {
  const answer = await session.context.request.fetch(call.url, {
    method: call.method,
    headers: call.requestHeaders,
    ...(call.requestBody === null ? {} : { data: call.requestBody }),
    timeout: session.order.navigationTimeoutMs,
    failOnStatusCode: true,
  });
  return await answer.body();
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A body that is no JSON is kept as the text it is.
    return text;
  }
}
