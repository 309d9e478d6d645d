import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { whenFileEnds } from "../support/ending.ts";

type Answer = (response: ServerResponse) => Promise<void> | void;
type Asked = { path: string; headers: IncomingHttpHeaders };

/** A service that answers the n-th request with the n-th answer; what it was asked is kept. The last answer is given again. */
export async function answering(...answers: Answer[]): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    asked.push({ path: request.url ?? "", headers: request.headers });
    void answers[Math.min(asked.length, answers.length) - 1]?.(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  whenFileEnds(async () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked };
}

/** A stream of these pieces, which then ends, or breaks off `afterMs` later when `isCut`. */
export function streaming(pieces: readonly string[], { isCut = false, afterMs = 0 } = {}): Answer {
  return async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const piece of pieces) {
      response.write(piece);
      // Each piece on its own way, so that the reader sees the seams.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!isCut) return void response.end();
    // A reset overtakes what its reader has not taken yet: on a busy machine that would be the pieces themselves.
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    response.socket?.destroy();
  };
}

/** An answer with a body that is JSON unless it is a text. */
export function answer(status: number, body: unknown = null, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(status, headers);
    response.end(body === null ? undefined : typeof body === "string" ? body : JSON.stringify(body));
  };
}

/** Events as the service writes them: the kind of the number, or progress. */
export function events(from: number, to: number, kinds: Record<number, string> = {}): string {
  const numbers = Array.from({ length: to - from + 1 }, (_, at) => from + at);
  return numbers.map((seq) => eventText(seq, kinds[seq] ?? "progress")).join("");
}

function eventText(seq: number, kind: string): string {
  const data = JSON.stringify({
    seq,
    at: "2026-01-01T00:00:00.000Z",
    task: 0,
    kind,
    fraction: 0.5,
    status: "succeeded",
  });
  return `id: ${seq}\nevent: ${kind}\ndata: ${data}\n\n`;
}
