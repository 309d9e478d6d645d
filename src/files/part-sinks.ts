import { EngineError } from "../errors.ts";
import { fileNameOf } from "./file-name.ts";
import type { PartDisposition } from "./part-disposition.ts";
import { openStagedFile, type StagedFile } from "./staging.ts";

/** `bytesMax` is for the content of all files together, `fieldBytesMax` for all fields. */
export type PartLimits = { bytesMax: number; filesMax: number; fieldBytesMax: number; fieldsMax: number };

/** Everything that came: files and fields in the order they came in. `bytes` is the size of all files. */
export type Received = { files: StagedFile[]; fields: { name: string; text: string }[]; bytes: number };

/** Where one part goes. `finish` or `abandon` ends it; `abandon` may follow a failure of either. */
export type Sink = { write(chunk: Buffer): Promise<void> | void; finish(): Promise<void> | void; abandon(): void };

/** Opens a sink for each part of one upload and counts. */
export type PartSinks = {
  /** Throws `too_large` beyond a limit and `invalid` for a refused file name. */
  open(disposition: PartDisposition): Promise<Sink>;
  /** Resolves when every finished file is on the disk; throws if one could not be written. */
  settled(): Promise<Received>;
};

type Intake = {
  directory: string;
  limits: PartLimits;
  files: Map<string, StagedFile>;
  fields: { name: string; text: string }[];
  counted: { files: number; fields: number; fileBytes: number; fieldBytes: number };
  flushes: Flushes;
};
type Flushes = { add(flush: Promise<void>): Promise<void>; settled(): Promise<void> };

const flushesMax = 16;

export function createPartSinks(directory: string, limits: PartLimits): PartSinks {
  const counted = { files: 0, fields: 0, fileBytes: 0, fieldBytes: 0 };
  const intake: Intake = { directory, limits, files: new Map(), fields: [], counted, flushes: createFlushes() };
  return {
    async open({ name, fileName }) {
      return fileName === null ? fieldSink(intake, name) : await fileSink(intake, fileNameOf(fileName));
    },
    async settled() {
      await intake.flushes.settled();
      const files = [...intake.files.values()];
      return { files, fields: intake.fields, bytes: files.reduce((sum, file) => sum + file.bytes, 0) };
    },
  };
}

async function fileSink({ directory, limits, files, counted, flushes }: Intake, name: string): Promise<Sink> {
  counted.files += 1;
  if (counted.files > limits.filesMax) throw tooLarge(`more than ${limits.filesMax} files`);
  const writer = await openStagedFile(directory, name);
  let isOpen = true;
  return {
    write(chunk) {
      counted.fileBytes += chunk.length;
      if (counted.fileBytes > limits.bytesMax) throw tooLarge(`more than ${limits.bytesMax} bytes of files`);
      return writer.write(chunk);
    },
    async finish() {
      isOpen = false;
      const { file, onDisk } = writer.finish();
      files.delete(name);
      files.set(name, file);
      await flushes.add(onDisk);
    },
    abandon() {
      if (isOpen) writer.abandon();
      isOpen = false;
    },
  };
}

function fieldSink({ limits, fields, counted }: Intake, name: string): Sink {
  counted.fields += 1;
  if (counted.fields > limits.fieldsMax) throw tooLarge(`more than ${limits.fieldsMax} fields`);
  const chunks: Buffer[] = [];
  return {
    write(chunk) {
      counted.fieldBytes += chunk.length;
      if (counted.fieldBytes > limits.fieldBytesMax)
        throw tooLarge(`more than ${limits.fieldBytesMax} bytes of fields`);
      chunks.push(chunk);
    },
    finish() {
      fields.push({ name, text: decode(name, Buffer.concat(chunks)) });
    },
    abandon() {
      chunks.length = 0;
    },
  };
}

/** Flushes share one write of the file system's journal when they are under way at once. */
function createFlushes(): Flushes {
  const underWay = new Set<Promise<void>>();
  const faults: unknown[] = [];
  return {
    async add(flush) {
      const tracked = flush.catch((fault: unknown) => void faults.push(fault)).finally(() => underWay.delete(tracked));
      underWay.add(tracked);
      if (underWay.size >= flushesMax) await Promise.race(underWay);
    },
    async settled() {
      await Promise.all(underWay);
      if (faults.length > 0) throw faults[0];
    },
  };
}

function decode(name: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new EngineError("invalid", `The part ${JSON.stringify(name)} is not UTF-8 text`, { cause });
  }
}

function tooLarge(what: string): EngineError {
  return new EngineError("too_large", `The upload has ${what}`);
}
