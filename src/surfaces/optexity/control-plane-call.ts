import { isFields } from "./field-checks.ts";

/** The control plane could not be asked, or did not do what it was asked. The message is what it said, or what is wrong with its answer. */
export class ControlPlaneError extends Error {
  override readonly name = "ControlPlaneError";
}

const timeoutMs = 30_000;
const answerBytesMax = 20 * 1_048_576;
const shownCharsMax = 1_000;

/** Asks the control plane and gives the JSON object it answers. Redirects are not followed: the key would go with them. Throws `ControlPlaneError`. */
export async function askControlPlane(
  url: string,
  apiKey: string,
  bodyJson: string | null,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  const { status, text } = await exchange(url, apiKey, bodyJson, signal);
  const answer = parsed(text);
  const isGood = status >= 200 && status < 300;
  if (isFields(answer) && isGood) return answer;
  const said = isFields(answer) ? saidIn(answer) : null;
  const kind = answer === undefined ? "something that is no JSON" : "JSON that is no object";
  throw new ControlPlaneError(said ?? `The control plane answered ${status}${isFields(answer) ? "" : ` with ${kind}`}`);
}

async function exchange(
  url: string,
  apiKey: string,
  bodyJson: string | null,
  signal?: AbortSignal,
): Promise<{ status: number; text: string }> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      method: bodyJson === null ? "GET" : "POST",
      headers: { "x-api-key": apiKey, accept: "application/json", "content-type": "application/json" },
      ...(bodyJson === null ? {} : { body: bodyJson }),
      redirect: "manual",
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    });
    return { status: response.status, text: await readText(response) };
  } catch (cause) {
    if (cause instanceof ControlPlaneError) throw cause;
    const why = timeout.aborted ? `did not answer within ${timeoutMs / 1000} s` : "cannot be reached";
    throw new ControlPlaneError(`The control plane ${why}`, { cause });
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > answerBytesMax) throw new ControlPlaneError("The answer of the control plane is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page, or nothing: the caller says so.
    return undefined;
  }
}

/** `error` is the document's; the others are what frameworks write by themselves. */
function saidIn(answer: Record<string, unknown>): string | null {
  const said = answer.error ?? answer.detail ?? answer.message ?? null;
  if (said === null) return null;
  return (typeof said === "string" ? said : JSON.stringify(said)).slice(0, shownCharsMax);
}
