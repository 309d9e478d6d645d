/** What a reader of a job's stream has seen. */
export type Reader = { last: number; gaps: number; rest: string; lagsMs: number[]; ended: Promise<void> };

/** Reads a job's stream to its end. Raw sockets: a thousand `fetch` streams would measure themselves. */
export async function openReader(url: string, jobId: string): Promise<Reader> {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const reader: Reader = { last: 0, gaps: 0, rest: "", lagsMs: [], ended };
  const { hostname, port } = new URL(url);
  await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (socket) =>
        void socket.write(`GET /api/v1/jobs/${jobId}/events HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`),
      data: (socket, bytes) => {
        opened.resolve();
        if (take(reader, bytes.toString("latin1"), Date.now())) socket.end();
      },
      close: () => resolve(),
    },
  });
  await opened.promise;
  return reader;
}

/** How late the events came, by the share of them. Throws when a reader saw a gap or another end than the others. */
export function lagOf(readers: readonly Reader[]): (share: number) => number {
  const whole = readers.every(({ gaps, last }) => gaps === 0 && last === readers[0]?.last);
  if (!whole) throw new Error("a stream had gaps");
  const lagsMs = Float64Array.from(readers.flatMap((reader) => reader.lagsMs)).sort();
  return (share) => lagsMs[Math.min(lagsMs.length - 1, Math.floor(lagsMs.length * share))] ?? Number.NaN;
}

/** Takes the whole events out of what came; true after the last. */
function take(reader: Reader, text: string, nowMs: number): boolean {
  const whole = reader.rest + text;
  let from = 0;
  let isOver = false;
  for (let start = whole.indexOf("\nid: "); start !== -1; start = whole.indexOf("\nid: ", from)) {
    const end = whole.indexOf("\n\n", start + 5);
    if (end === -1) break;
    const seq = Number(whole.slice(start + 5, whole.indexOf("\n", start + 5)));
    if (seq !== reader.last + 1) reader.gaps++;
    reader.last = seq;
    const time = whole.indexOf('"at":"', start) + 6;
    // The first event is older than its readers.
    if (seq > 1) reader.lagsMs.push(nowMs - Date.parse(whole.slice(time, time + 24)));
    isOver ||= whole.startsWith("event: completed", whole.indexOf("event: ", start));
    from = end + 1;
  }
  reader.rest = whole.slice(from);
  return isOver;
}
