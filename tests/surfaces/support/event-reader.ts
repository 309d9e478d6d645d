/** One event of a stream, as it stood on the wire. */
export type WireEvent = {
  id: number;
  event: string;
  data: { [name: string]: unknown; seq: number; at: string; kind: string };
};

/** The whole events in the text of a stream; what was cut off, and comments, are left out. */
export function eventsIn(text: string): WireEvent[] {
  const end = text.lastIndexOf("\n\n");
  const blocks = end === -1 ? [] : text.slice(0, end).split("\n\n");
  return blocks.flatMap((block) => {
    const id = /^id: (\d+)$/m.exec(block)?.[1];
    if (id === undefined) return [];
    const event = /^event: (.*)$/m.exec(block)?.[1] ?? "";
    const data = [...block.matchAll(/^data: (.*)$/gm)].map((found) => found[1]).join("\n");
    return [{ id: Number(id), event, data: JSON.parse(data) }];
  });
}

/** Reads a stream until it ends or `enough` says so, then leaves. Returns what came. */
export async function readStream(
  url: string,
  headers: Record<string, string>,
  enough: (text: string) => boolean = () => false,
): Promise<{ status: number; text: string }> {
  const leaving = new AbortController();
  const response = await fetch(url, { headers, signal: leaving.signal });
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read()) {
      text += decoder.decode(part.value, { stream: true });
      if (enough(text)) break;
    }
  } catch {
    // A server that is killed breaks its streams off: what came until then counts.
  }
  leaving.abort();
  return { status: response.status, text };
}

/**
 * Follows a job until its end was read or its stream says 204. `most` says after how many events a connection is left, by its number;
 * null for none.
 */
export async function followJob(
  url: string,
  most: ((connection: number) => number) | null,
  from: WireEvent[] = [],
): Promise<{ events: WireEvent[]; connections: number }> {
  const events = [...from];
  for (let connections = 1; ; connections++) {
    const last = events.at(-1);
    const headers: Record<string, string> = last === undefined ? {} : { "last-event-id": String(last.id) };
    const count = most?.(connections) ?? Number.POSITIVE_INFINITY;
    const { status, text } = await readStream(url, headers, (soFar) => eventsIn(soFar).length >= count);
    if (status === 204) return { events, connections };
    if (status !== 200) throw new Error(`the stream answered ${status}: ${text}`);
    events.push(...eventsIn(text).slice(0, count));
    if (events.at(-1)?.event === "completed") return { events, connections };
  }
}
