import type { RunSink } from "../contract.ts";

const lineCharsMax = 4_000;
const tailCharsMax = 2_000;
const bytesPerMb = 1_048_576;

/** What a command writes on stdout, as text. */
export type CollectedAnswer = { take(bytes: Uint8Array): void | Promise<void>; text(): Promise<string> };

/** Collects at most `bytesMax`; what comes after is dropped once `onTooLarge` was told. `onText` gets each piece as it comes. */
export function collectAnswer(options: {
  bytesMax: number;
  onTooLarge: () => void;
  onText: ((text: string) => void | Promise<void>) | null;
}): CollectedAnswer {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  const add = (piece: string) => {
    text += piece;
    return piece === "" ? undefined : options.onText?.(piece);
  };
  return {
    take: (chunk) => {
      bytes += chunk.byteLength;
      if (bytes > options.bytesMax) return options.onTooLarge();
      return add(decoder.decode(chunk, { stream: true }));
    },
    text: async () => {
      await add(decoder.decode());
      return text;
    },
  };
}

/** What a command writes on stderr, as log events. */
export type CollectedErrors = { take(bytes: Uint8Array): void; finish(): string };

/** Logs stderr line by line, at most `outputMb` of it; `finish` logs an open line and gives the end of the text, for a message. */
export function collectErrors(sink: RunSink, outputMb: number): CollectedErrors {
  const decoder = new TextDecoder();
  let open = "";
  let tail = "";
  let left = outputMb * bytesPerMb;
  const log = (line: string) => {
    if (left <= 0) return;
    left -= line.length + 1;
    sink.log("info", line.slice(0, lineCharsMax));
    if (left <= 0) sink.log("warn", `stderr has more than ${outputMb} MiB: the rest is not kept`);
  };
  return {
    take: (chunk) => {
      const text = decoder.decode(chunk, { stream: true });
      tail = (tail + text).slice(-tailCharsMax);
      const lines = (open + text).split("\n");
      open = lines.pop() ?? "";
      for (const line of lines) log(line);
      if (open.length < lineCharsMax) return;
      log(open);
      open = "";
    },
    finish: () => {
      if (open !== "") log(open);
      return tail.trim();
    },
  };
}
