import type { Manifest } from "./manifest.ts";
import type { StagedFile, Staging } from "./staging.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** One file that can be read. `etag` is quoted, for the header. */
export type StoredFile = {
  path: string;
  bytes: number;
  mediaType: string;
  etag: string;
  modifiedAt: Date;
  /** The content, or a part of it (offsets in bytes, both included). Fails while streaming if the file has changed. */
  stream(span?: { start: number; end: number }): ReadableStream<Bytes>;
};

/** Whose the files of a run are by the time they are looked at. */
export type RunClaim = {
  /** Whether they are still the run's to publish. Asked before anything leaves this node. */
  isOwned(): Promise<boolean>;
  /** Writes a manifest into the payload's row; false when the files are not the run's any more, and nothing was written. */
  record(manifest: Manifest): Promise<boolean>;
};

/**
 * Where payloads live. A payload goes: `stage` → files written → `commit` → `workDirectory` → a run → `publish` (or `forget`); it can be
 * read at any time after `commit`. Ids are the database's; the store invents none. Everything that is not there is refused as
 * `not_found`; an object store that cannot be reached or a full disk as `unavailable`.
 */
export type FileStore = {
  /** `local`: only this node's disk has the files. `s3`: every node can serve and run every payload. */
  readonly kind: "local" | "s3";
  /** Where the files of a payload are, for people: relative, never the machine's layout. */
  location(payloadId: number): string;
  /** `isSoonRun`: its files will have come in within moments, and a script among them is probably run at once. */
  stage(how?: { isSoonRun: boolean }): Promise<Staging>;
  /**
   * Makes a staging directory the payload's. Call it before the transaction that writes the id commits, and `remove` if that
   * fails. `known` saves hashing what was hashed on arrival. Refuses an id that has files with `conflict`.
   */
  commit(staging: Staging, payloadId: number, known?: readonly StagedFile[]): Promise<Manifest>;
  /** The directory for a run on this node, fetched first if need be. From now until `publish` the manifest is what is on disk. */
  workDirectory(payloadId: number): Promise<string>;
  /** That directory while a run on this node has it, null when none has. Nothing is fetched. */
  runDirectory(payloadId: number): string | null;
  /**
   * After a run, when its processes are gone: describes what is there, with an object store takes it to the bucket, and has it
   * recorded with all that the manifest holds. False when it was not: then nothing of it counts. Until `forget` this node shows
   * its copy.
   */
  publish(payloadId: number, claim: RunClaim): Promise<boolean>;
  /** After `publish`, or instead of it when a run's changes must not count (lost, replaced): this node drops its copy, if the files live elsewhere. */
  forget(payloadId: number): Promise<void>;
  /** What the payload holds; without hashes while a run may be changing it. */
  list(payloadId: number): Promise<Manifest>;
  /** `path` as in the manifest. Refuses what is not a regular file below the payload's directory with `not_found`. */
  open(payloadId: number, path: string): Promise<StoredFile>;
  /** All files as a zip, see `zipStream`. */
  zip(payloadId: number): Promise<ReadableStream<Bytes>>;
  /** Removes every trace; a payload that is not there is no error. */
  remove(payloadId: number): Promise<void>;
  /** Removes what interrupted uploads and removals left behind, here and unfinished in the bucket, and nothing has written to for so long. Returns how many. */
  sweepStaging(olderThanMs: number): Promise<number>;
};
