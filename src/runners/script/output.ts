import type { Failure, RunSink } from "../contract.ts";
import { type Directive, parseDirective } from "./directives.ts";
import { createLineReader } from "./line-reader.ts";
import { createOutputCap, type OutputCut } from "./output-cap.ts";
import { createProgressReporter } from "./progress.ts";

const bytesPerMb = 1_048_576;
/** A run that writes this many times what is kept is not logging but flooding, and is ended. */
export const floodFactor = 100;
/** A byte that is in no UTF-8 text, so that it becomes U+FFFD. */
const noText = 0xff;

export type ScriptOutput = {
  /** Takes the bytes at once, and may change them; the promise asks the writer to wait. */
  take(bytes: Uint8Array): void | Promise<void>;
  /** Hands over the kept tail when the script has ended. */
  end(): Promise<void>;
};

/**
 * Output of a script, as it is shown: text in order, directives taken out of it, the head and the tail kept. stdout and
 * stderr arrive as one stream, because two would lose the order in which they were written.
 */
export function createScriptOutput(sink: RunSink, outputMb: number, onFlood: (failure: Failure) => void): ScriptOutput {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const cap = createOutputCap(outputMb);
  const progress = createProgressReporter(sink);
  const owed: Promise<void>[] = [];
  let bytesSeen = 0;
  const show = (text: string) => {
    if (text === "") return;
    const asksForTime = sink.output("stdout", text);
    if (asksForTime instanceof Promise) owed.push(asksForTime);
  };
  const obey = (directive: Directive) => {
    if (directive.kind === "progress") progress.report(directive.fraction, directive.text);
    // Log lines count as output, or they would be a way around the cap.
    else if (cap.spend(directive.text)) sink.log(directive.level, directive.text);
    else cap.push(`::log ${directive.level} ${directive.text}\n`);
  };
  const lines = createLineReader((text) => show(cap.push(text)), obey);
  const settled = () => (owed.length === 0 ? undefined : Promise.all(owed.splice(0)).then(() => undefined));
  /** Once nothing is shown any more, lines are not looked at one by one: a flood has millions of them. */
  const takeUnseen = (text: string) => {
    cap.push(text);
    const latest = latestProgress(text);
    if (latest !== null) obey(latest);
  };
  return {
    take: (bytes) => {
      bytesSeen += bytes.length;
      if (bytesSeen > outputMb * bytesPerMb * floodFactor) onFlood(flooded(outputMb));
      const text = decoder.decode(withoutNul(bytes), { stream: true });
      if (cap.isFull()) takeUnseen(lines.release() + text);
      else lines.push(text);
      return settled();
    },
    end: async () => {
      lines.push(decoder.decode());
      lines.end();
      const { tail, cut } = cap.end();
      if (cut !== null) sink.log("warn", describeCut(cut, outputMb));
      await showTail(tail);
      progress.end();
    },
  };

  async function showTail(tail: string[]): Promise<void> {
    const rest = createLineReader(show, (directive) => {
      if (directive.kind === "progress") progress.report(directive.fraction, directive.text);
      else sink.log(directive.level, directive.text);
    });
    for (const text of tail) {
      rest.push(text);
      await settled();
    }
    rest.end();
    await settled();
  }
}

/** The last complete step in the text. */
function latestProgress(text: string): Directive | null {
  const start = text.lastIndexOf("\n::progress ") + 1;
  const end = text.indexOf("\n", start);
  return end === -1 ? null : parseDirective(text.slice(start, end));
}

/** A NUL is text in UTF-8, and yet no database takes it in one. */
function withoutNul(bytes: Uint8Array): Uint8Array {
  if (bytes.includes(0)) for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0) bytes[at] = noText;
  return bytes;
}

function flooded(outputMb: number): Failure {
  return { code: "output_limit", message: `it wrote more than ${outputMb * floodFactor} MiB of output` };
}

function describeCut({ bytes, lines }: OutputCut, outputMb: number): string {
  return `output is cut: ${bytes} bytes in ${lines} lines are left out here, since ${outputMb} MiB are kept; what follows is the end of it`;
}
