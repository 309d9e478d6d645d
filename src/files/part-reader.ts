import { EngineError } from "../errors.ts";
import { fileNameOf } from "./file-name.ts";
import { type PartHeaders, readPartHeaders } from "./part-headers.ts";
import { openStagedFile, type StagedFile } from "./staging.ts";

/** `bytesMax` is for the content of all files together, `fieldBytesMax` for all fields. */
export type PartLimits = { bytesMax: number; filesMax: number; fieldBytesMax: number; fieldsMax: number };

/** Everything that came: files and fields in the order they came in. `bytes` is the size of all files. */
export type Received = { files: StagedFile[]; fields: { name: string; text: string }[]; bytes: number };

/** A part of Dicer's: emits `header` before its first bytes; one whose headers never end emits none. */
export type Part = AsyncIterable<Buffer> & {
  on(event: "header", listener: (headers: object) => void): unknown;
  on(event: "error", listener: () => void): unknown;
};

/** Takes parts one after the other; keeps the first fault and drains the rest, since Dicer waits for every part's end. */
export type PartReader = {
  take(part: Part): void;
  /** Every part but the newest is on the disk. Throws the first fault. */
  caughtUp(): Promise<void>;
  /** Every part is. Throws the first fault. */
  allTaken(): Promise<void>;
  /** Waits until no file is open. */
  abandon(): Promise<void>;
  received(): Received;
};

const flushesMax = 16;

type Sink = { write(chunk: Buffer): Promise<void> | void; finish(): Promise<void> | void; abandon(): void };
type Flushes = { add(flush: Promise<void>): Promise<void>; settled(): Promise<void> };
type Intake = {
  directory: string;
  limits: PartLimits;
  files: Map<string, StagedFile>;
  fields: { name: string; text: string }[];
  counted: { files: number; fields: number; fileBytes: number; fieldBytes: number };
  flushes: Flushes;
  fault: { cause: unknown } | null;
};

export function createPartReader(directory: string, limits: PartLimits): PartReader {
  const counted = { files: 0, fields: 0, fileBytes: 0, fieldBytes: 0 };
  const flushes = createFlushes((cause) => {
    intake.fault ??= { cause };
  });
  const intake: Intake = { directory, limits, files: new Map(), fields: [], counted, flushes, fault: null };
  let earlier: Promise<void> = Promise.resolve();
  let newest: Promise<void> = Promise.resolve();
  const settle = async (parts: Promise<void>) => {
    await parts;
    if (intake.fault !== null) throw intake.fault.cause;
  };
  return {
    take(part) {
      const head: { headers?: PartHeaders } = {};
      part.on("header", (headers) => {
        head.headers = headers as PartHeaders;
      });
      part.on("error", () => {
        // The body ended inside this part: the iteration below ends too, and the caller sees that there was no last boundary.
      });
      earlier = newest;
      newest = earlier.then(() => consume(intake, part, head));
    },
    caughtUp: () => settle(earlier),
    allTaken: () => settle(newest.then(() => intake.flushes.settled())),
    abandon: () => newest.then(() => intake.flushes.settled()),
    received: () => ({
      files: [...intake.files.values()],
      fields: intake.fields,
      bytes: [...intake.files.values()].reduce((sum, file) => sum + file.bytes, 0),
    }),
  };
}

async function consume(intake: Intake, part: Part, head: { headers?: PartHeaders }): Promise<void> {
  let sink: Sink | undefined;
  const attempt = async (act: () => Promise<void>) => {
    if (intake.fault !== null) return;
    try {
      await act();
    } catch (cause) {
      intake.fault = { cause };
    }
  };
  try {
    for await (const chunk of part) {
      await attempt(async () => {
        sink ??= await openSink(intake, head.headers);
        await sink.write(chunk);
      });
    }
    await attempt(async () => {
      sink ??= await openSink(intake, head.headers);
      await sink.finish();
    });
  } catch (cause) {
    intake.fault ??= { cause: new EngineError("invalid", "The multipart body ends inside a part", { cause }) };
  }
  if (intake.fault !== null) sink?.abandon();
}

async function openSink(intake: Intake, headers: PartHeaders | undefined): Promise<Sink> {
  const { name, fileName } = readPartHeaders(headers);
  return fileName === null ? fieldSink(intake, name) : await fileSink(intake, fileNameOf(fileName));
}

async function fileSink(intake: Intake, name: string): Promise<Sink> {
  const { limits, counted } = intake;
  counted.files += 1;
  if (counted.files > limits.filesMax) throw tooLarge(`more than ${limits.filesMax} files`);
  const writer = await openStagedFile(intake.directory, name);
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
      intake.files.delete(name);
      intake.files.set(name, file);
      await intake.flushes.add(onDisk);
    },
    abandon() {
      if (isOpen) writer.abandon();
      isOpen = false;
    },
  };
}

function fieldSink(intake: Intake, name: string): Sink {
  const { limits, counted } = intake;
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
      intake.fields.push({ name, text: decode(name, Buffer.concat(chunks)) });
    },
    abandon() {
      chunks.length = 0;
    },
  };
}

/** Flushes share one write of the file system's journal when they are under way at once. */
function createFlushes(fail: (cause: unknown) => void): Flushes {
  const underWay = new Set<Promise<void>>();
  return {
    async add(flush) {
      const tracked = flush.catch(fail).finally(() => underWay.delete(tracked));
      underWay.add(tracked);
      if (underWay.size >= flushesMax) await Promise.race(underWay);
    },
    async settled() {
      await Promise.all(underWay);
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
