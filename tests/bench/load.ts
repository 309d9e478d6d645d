/*
 * A load generator in a process of its own: keeps `connections` requests in flight over raw sockets, one a connection, so that it takes little
 * of the CPU that it measures with. Usage: load.ts <url> <connections> <seconds> <body> [header: value …]. Prints one JSON line.
 */

const [url = "", connectionsText = "1", secondsText = "1", body = "", ...headers] = Bun.argv.slice(2);
const { hostname, port, pathname } = new URL(url);
const connections = Number(connectionsText);
const seconds = Number(secondsText);

const request = Buffer.from(
  [
    `POST ${pathname} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...headers,
    "",
    body,
  ].join("\r\n"),
);

const latenciesMs: number[] = [];
const statuses = new Map<string, number>();
let isOver = false;
const warmUpMs = Math.min(1_000, seconds * 200);
const startedAt = performance.now();
let measuredFrom = 0;

await Promise.all(Array.from({ length: connections }, () => runConnection()));
const elapsedS = (performance.now() - measuredFrom) / 1_000;
latenciesMs.sort((a, b) => a - b);
const at = (share: number) =>
  latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * share))] ?? 0;
console.log(
  JSON.stringify({
    perSecond: latenciesMs.length / elapsedS,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    requests: latenciesMs.length,
    statuses: Object.fromEntries(statuses),
  }),
);

async function runConnection(): Promise<void> {
  const done = Promise.withResolvers<void>();
  let sentAt = 0;
  let pending = "";
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, chunk) {
        pending += chunk.toString("latin1");
        const end = answerEnd(pending);
        if (end === null) return;
        note(pending.slice(9, 12), performance.now() - sentAt);
        pending = pending.slice(end);
        send();
      },
      close: () => done.resolve(),
      error: (_socket, fault) => done.reject(fault),
    },
  });
  function send(): void {
    if (performance.now() - startedAt > seconds * 1_000 + warmUpMs) isOver = true;
    if (isOver) {
      socket.end();
      return;
    }
    sentAt = performance.now();
    socket.write(request);
  }
  send();
  await done.promise;
}

function note(status: string, ms: number): void {
  const now = performance.now();
  if (now - startedAt < warmUpMs) return;
  measuredFrom ||= now;
  latenciesMs.push(ms);
  statuses.set(status, (statuses.get(status) ?? 0) + 1);
}

/** Where the first answer in `text` ends; null while it is not whole. */
function answerEnd(text: string): number | null {
  const head = text.indexOf("\r\n\r\n");
  if (head === -1) return null;
  const length = /content-length: (\d+)/i.exec(text.slice(0, head))?.[1];
  if (length === undefined) throw new Error("the answer has no Content-Length");
  const end = head + 4 + Number(length);
  return text.length >= end ? end : null;
}
