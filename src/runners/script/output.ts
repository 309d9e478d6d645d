import type { Failure, RunSink } from "../contract.ts";
import type { Directive } from "./directives.ts";
import { createLineReader } from "./line-reader.ts";
import { createOutputCap, type OutputCut } from "./output-cap.ts";
import { createProgressReporter } from "./progress.ts";

const bytesPerMb = 1_048_576;
/** A run that writes this many times what is kept is not logging but flooding, and is ended. */
export const floodFactor = 100;
/** A NUL has no place in a database's text; bytes that are not UTF-8 have become the same sign before. */
const replacement = "\uFFFD";

export type ScriptOutput = {
  /** Takes the bytes at once; the promise asks the writer to wait. */
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
    else cap.push(`${directive.text}\n`);
  };
  const lines = createLineReader((text) => show(cap.push(text)), obey);
  const settled = () => (owed.length === 0 ? undefined : Promise.all(owed.splice(0)).then(() => undefined));
  return {
    take: (bytes) => {
      bytesSeen += bytes.length;
      if (bytesSeen > outputMb * bytesPerMb * floodFactor) onFlood(flooded(outputMb));
      lines.push(clean(decoder.decode(bytes, { stream: true })));
      return settled();
    },
    end: async () => {
      lines.push(clean(decoder.decode()));
      lines.end();
      progress.end();
      const { tail, cut } = cap.end();
      if (cut !== null) sink.log("warn", describeCut(cut, outputMb));
      for (const text of tail) {
        show(text);
        await settled();
      }
    },
  };
}

function clean(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", replacement) : text;
}

function flooded(outputMb: number): Failure {
  return { code: "output_limit", message: `it wrote more than ${outputMb * floodFactor} MiB of output` };
}

function describeCut({ bytes, lines }: OutputCut, outputMb: number): string {
  return `output is cut: ${bytes} bytes in ${lines} lines are left out here, since ${outputMb} MiB are kept; what follows is the end of it`;
}
