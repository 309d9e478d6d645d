import { brokenOff } from "./patience.ts";

/** One event of a stream, or a comment, or the wait before a reconnect that the server asks for. */
export type SsePart =
  { kind: "event"; data: string } | { kind: "comment"; text: string } | { kind: "retry"; ms: number };

const pendingCharsMax = 16 * 1_048_576;

/**
 * Reads server-sent events (WHATWG). Ends with the stream; throws `ConnectionError` when it breaks off, and `RangeError` for an event of
 * more than 16 Mi characters. Whoever stops early frees the connection.
 */
export async function* readSse(stream: ReadableStream<Uint8Array>): AsyncGenerator<SsePart> {
  let data: string[] = [];
  for await (const line of readLines(stream)) {
    if (line === "") {
      if (data.length > 0) yield { kind: "event", data: data.join("\n") };
      data = [];
    } else if (line.startsWith(":")) yield { kind: "comment", text: line.slice(1).trim() };
    else {
      const { name, value } = fieldOf(line);
      if (name === "data") data.push(value);
      if (name === "retry" && /^\d{1,7}$/.test(value)) yield { kind: "retry", ms: Number(value) };
    }
  }
}

/** Lines that are complete: what stands after the last line end is half an event. */
async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        throw brokenOff(cause);
      });
      if (done) return;
      pending += decoder.decode(value, { stream: true });
      // The \n of a \r\n may still be on its way.
      const whole = pending.endsWith("\r") ? pending.slice(0, -1) : pending;
      const lines = whole.split(/\r\n|\n|\r/);
      const rest = lines.pop() ?? "";
      pending = rest + pending.slice(whole.length);
      if (pending.length > pendingCharsMax) throw new RangeError("The stream holds an event that is too large");
      yield* lines;
    }
  } finally {
    // The connection may be broken already, and then there is nothing to free.
    reader.cancel().catch(() => undefined);
  }
}

function fieldOf(line: string): { name: string; value: string } {
  const colon = line.indexOf(":");
  if (colon === -1) return { name: line, value: "" };
  const value = line.slice(colon + 1);
  return { name: line.slice(0, colon), value: value.startsWith(" ") ? value.slice(1) : value };
}
