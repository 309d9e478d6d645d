import type { Engine } from "../../engine/context.ts";
import type { WebhookSpec } from "../../engine/submission.ts";
import type { Submitter } from "../../engine/submit.ts";
import type { FileStore } from "../../files/store.ts";
import type { Log } from "../../log.ts";
import type { AutomationCatalog } from "../../runners/automation/catalog.ts";

/** The control plane of this child: where it is, its key, and its paths. */
export type ControlPlane = {
  serverUrl: string;
  apiKey: string;
  inferenceEndpoint: string;
  /** Without its id. */
  recordingEndpoint: string;
};

/** What the master of several children has told this one. */
export type ChildIdentity = { processId: number };

export type OptexityDeps = {
  engine: Engine;
  submitter: Submitter;
  files: FileStore;
  log: Log;
  automations: AutomationCatalog;
  /** Null when Fairlead is its own. */
  controlPlane: ControlPlane | null;
  /** Who is told about a task that came with this key; null when nobody is. */
  reportsTo(apiKey: string | null): WebhookSpec | null;
  /** Makes a secret safe to store; the automation runner opens it. */
  seal(text: string): string;
  child: ChildIdentity;
  /** Below it every task has a directory of its name. */
  saveDirectory: string;
  dataDir: string;
  /** Since when the oldest automation of this node runs, in ms since the epoch; null when none runs. */
  runningSinceMs(): number | null;
  unhealthyAfterS: number;
  /** The most that one task may take. */
  wallMs: number;
  bodyMaxBytes: number;
  /** Of the files that a child hands in for one task. */
  filesMaxBytes: number;
  filesMax: number;
};
