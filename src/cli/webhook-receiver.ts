import { plain } from "./shown.ts";
import type { Terminal } from "./terminal.ts";
import { CommandError } from "./usage-error.ts";
import { type Verdict, verifyWebhook } from "./webhook-signature.ts";

type Options = { port: number; keys: readonly Buffer[]; terminal: Terminal; json: boolean };
type Delivery = { id: string | null; verdict: Verdict | null; path: string; headers: Headers; body: string };

const bodyBytesMax = 16 * 1_048_576;
const bodyCharsShown = 2_000;

/** A receiver on this machine that checks and shows what it is sent. Throws `CommandError` when the port is taken. */
export function listenForWebhooks(options: Options): { url: string; stop(): Promise<void> } {
  const server = open(options, async (request) => {
    if (request.method !== "POST")
      return new Response("POST a webhook here\n", { status: 405, headers: { allow: "POST" } });
    const delivery = await read(request, options.keys);
    await show(delivery, options);
    return delivery.verdict?.isValid === false
      ? Response.json({ error: delivery.verdict.reason }, { status: 401 })
      : new Response(null, { status: 204 });
  });
  return { url: String(server.url), stop: () => server.stop(true) };
}

function open({ port }: Options, fetch: (request: Request) => Promise<Response>) {
  try {
    return Bun.serve({ hostname: "127.0.0.1", port, maxRequestBodySize: bodyBytesMax, fetch });
  } catch (cause) {
    throw new CommandError(`port ${port} cannot be had: it is taken; choose another with --port`, { cause });
  }
}

async function read(request: Request, keys: readonly Buffer[]): Promise<Delivery> {
  const { headers } = request;
  const body = await request.text();
  const verdict = keys.length === 0 ? null : verifyWebhook(headers, body, keys, Date.now() / 1_000);
  return { id: headers.get("webhook-id"), verdict, path: new URL(request.url).pathname, headers, body };
}

async function show({ id, verdict, path, headers, body }: Delivery, { terminal, json }: Options): Promise<void> {
  const verified = verdict === null ? null : verdict.isValid;
  const reason = verdict?.isValid === false ? verdict.reason : null;
  if (json) {
    const line = {
      at: new Date().toISOString(),
      id,
      verified,
      reason,
      path,
      headers: headers.toJSON(),
      body: parsed(body),
    };
    return terminal.out(`${JSON.stringify(line)}\n`);
  }
  const { green, red, yellow, bold } = terminal.data;
  const word = verified === null ? yellow("unchecked") : verified ? green("verified") : red(`REFUSED, ${reason}`);
  await terminal.out(
    `${new Date().toISOString()}  ${word}  ${bold(id ?? "no id")}  ${plain(path)}\n${shownBody(body)}\n\n`,
  );
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Some protocols send plain text.
    return body;
  }
}

function shownBody(body: string): string {
  const value = parsed(body);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const lines = text
    .slice(0, bodyCharsShown)
    .split("\n")
    .map((line) => `  ${plain(line)}`);
  return `${lines.join("\n")}${text.length > bodyCharsShown ? "…" : ""}`;
}
