import { EngineError } from "../errors.ts";
import { fileNameOf } from "./file-name.ts";
import type { PartDisposition } from "./part-disposition.ts";
import { openStagedFile, type StagedFile, type Staging } from "./staging.ts";

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
  received(): Received;
};

type Intake = {
  staging: Staging;
  limits: PartLimits;
  files: Map<string, StagedFile>;
  fields: { name: string; text: string }[];
  counted: { files: number; fields: number; fileBytes: number; fieldBytes: number };
};

export function createPartSinks(staging: Staging, limits: PartLimits): PartSinks {
  const counted = { files: 0, fields: 0, fileBytes: 0, fieldBytes: 0 };
  const intake: Intake = { staging, limits, files: new Map(), fields: [], counted };
  return {
    async open({ name, fileName }) {
      return fileName === null ? fieldSink(intake, name) : await fileSink(intake, fileNameOf(fileName));
    },
    received() {
      const files = [...intake.files.values()];
      return { files, fields: intake.fields, bytes: files.reduce((sum, file) => sum + file.bytes, 0) };
    },
  };
}

async function fileSink({ staging, limits, files, counted }: Intake, name: string): Promise<Sink> {
  counted.files += 1;
  if (counted.files > limits.filesMax) throw tooLarge(`more than ${limits.filesMax} files`);
  const writer = await openStagedFile(staging, name);
  let isOpen = true;
  return {
    write(chunk) {
      counted.fileBytes += chunk.length;
      if (counted.fileBytes > limits.bytesMax) throw tooLarge(`more than ${limits.bytesMax} bytes of files`);
      return writer.write(chunk);
    },
    async finish() {
      isOpen = false;
      const { file, flushing } = writer.finish();
      files.delete(name);
      files.set(name, file);
      await flushing;
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
