import type { ZipItem } from "./zip-writer.ts";

/** Collects what a zip leaves out, for an entry at its end. */
export type Notes = {
  add(path: string, reason: string): null;
  /** Paths that are in the zip: the notes take a name that is free. */
  saw(path: string): void;
  item(): ZipItem | null;
};

const linesMax = 10_000;

export function createNotes(): Notes {
  const lines: string[] = [];
  const taken = new Set<string>();
  let left = 0;
  return {
    add(path, reason) {
      if (lines.length < linesMax) lines.push(`${JSON.stringify(path)} ${reason}`);
      else left += 1;
      return null;
    },
    saw(path) {
      if (path.startsWith("FAIRLEAD-LEFT-OUT")) taken.add(path);
    },
    item() {
      if (lines.length === 0) return null;
      if (left > 0) lines.push(`and ${left} more`);
      return textItem(freeName(taken), `Left out of this archive:\n${lines.join("\n")}\n`);
    },
  };
}

function freeName(taken: Set<string>): string {
  let name = "FAIRLEAD-LEFT-OUT.txt";
  for (let turn = 2; taken.has(name); turn += 1) name = `FAIRLEAD-LEFT-OUT-${turn}.txt`;
  return name;
}

function textItem(path: string, text: string): ZipItem {
  const bytes = new TextEncoder().encode(text);
  return { path, mode: 0o644, mtimeMs: Date.now(), bytesMax: bytes.length, chunks: once(bytes) };
}

async function* once(bytes: Uint8Array<ArrayBuffer>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  yield bytes;
}
