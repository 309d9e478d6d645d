import type { Engine } from "../../engine/context.ts";
import type { Submitter } from "../../engine/submit.ts";
import type { FileStore } from "../../files/store.ts";
import type { JobTokens } from "../../http/job-tokens.ts";
import type { Streams } from "../../http/streams.ts";
import type { ApiSettings } from "./settings.ts";
import type { Targets } from "./targets.ts";

/** What the surface is given by the app. */
export type ApiDeps = {
  engine: Engine;
  submitter: Submitter;
  files: FileStore;
  streams: Streams;
  tokens: JobTokens;
  targets: Targets;
  /**
   * Checks the target of a webhook and its headers, with pointers below `pointer`; returns the headers sealed, or undefined when there are
   * none. Throws `EngineError("invalid")`.
   */
  sealWebhook(webhook: { url: string; headers?: unknown }, pointer: string): string | undefined;
  /** At least 32 secret bytes that sign the cursors of lists; the same on every node of a database. */
  cursorSecret: Uint8Array;
  settings: ApiSettings;
};
