import { AutomationFault } from "../automation-fault.ts";
import { isConditionTrue } from "../condition.ts";
import type { ApiCall } from "../document-model.ts";
import { fromJson, PythonValueError } from "../python-value.ts";
import { type Answer, fetchBounded } from "./fetch-bounded.ts";
import type { Session } from "./session.ts";

/** What a call leaves in its variables. `status_code` is null when there was no answer. */
type Response = { status_code: number | null; headers: Record<string, string>; body: unknown; error?: string };

const bodyBytesMax = 5 * 1_024 * 1_024;

/**
 * Calls an API, again and again until `poll_condition` holds or the attempts are used up, and stores the last response.
 * An API that does not answer is no failure of the node: the document can look at `status_code` and `error`.
 */
export async function callApi(session: Session, call: ApiCall, identifier: string | null): Promise<void> {
  let response = await ask(session, call);
  for (let attempt = 1; !isDone(session, call, response) && attempt < call.pollAttemptsMax; attempt += 1) {
    await session.end.sleep(call.pollIntervalS);
    response = await ask(session, call);
  }
  for (const name of call.outputNames.map((text) => session.scope.fill(text))) {
    session.scope.set(name, fromJson(response));
    session.outputs.add({ [name]: response }, identifier);
  }
}

async function ask(session: Session, call: ApiCall): Promise<Response> {
  try {
    const answer = await fetchBounded(addressOf(session, call), {
      method: call.method,
      headers: headersOf(session, call),
      ...bodyFor(session, call),
      timeoutMs: call.timeoutS * 1_000,
      bytesMax: bodyBytesMax,
      redirects: true,
    });
    return { status_code: answer.status, headers: answer.headers, body: readBody(answer) };
  } catch (fault) {
    if (fault instanceof AutomationFault) throw fault;
    const isTimeout = fault instanceof Error && fault.name === "TimeoutError";
    session.log.write(
      "warn",
      `The API did not answer: ${session.scope.mask(fault instanceof Error ? fault.message : String(fault))}`,
    );
    return { status_code: null, headers: {}, body: null, error: isTimeout ? "timeout" : "http_error" };
  }
}

function addressOf(session: Session, call: ApiCall): string {
  const text = session.scope.fill(call.url);
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  for (const [name, value] of Object.entries(call.queryParams))
    url.searchParams.append(name, session.scope.fill(value));
  return url.href;
}

function headersOf(session: Session, call: ApiCall): Record<string, string> {
  const given = Object.entries(call.headers).map(([name, value]) => [name, session.scope.fill(value)]);
  const json = typeof call.body === "object" && call.body !== null ? { "content-type": "application/json" } : {};
  return { ...json, ...Object.fromEntries(given) };
}

function bodyFor(session: Session, { body }: ApiCall): { body?: string } {
  if (body === null) return {};
  return { body: typeof body === "string" ? session.scope.fill(body) : JSON.stringify(session.scope.fillDeep(body)) };
}

function isDone(session: Session, call: ApiCall, response: Response): boolean {
  if (call.pollCondition === null) return true;
  const values = fromJson(response);
  try {
    return isConditionTrue(call.pollCondition, {
      members: true,
      lookup: (name) => Reflect.get(Object(values), name) ?? session.scope.lookup(name),
      interpolate: (text) => session.scope.fill(text),
    });
  } catch (fault) {
    // A key that the response does not have yet is the ordinary case of polling.
    if (fault instanceof PythonValueError) return false;
    throw fault;
  }
}

function readBody(answer: Answer): unknown {
  const text = answer.body.toString("utf8");
  try {
    return JSON.parse(text);
  } catch {
    // Anything but JSON is kept as text.
    return text;
  }
}
