import type { NodeKeys } from "./app-keys.ts";
import type { OpenedDatabase } from "./app-database.ts";
import type { Config } from "./config.ts";
import type { Engine } from "./engine/context.ts";
import type { Appender } from "./engine/events.ts";
import type { Finisher } from "./engine/finish.ts";
import type { Submitter } from "./engine/submit.ts";
import type { FileStore } from "./files/store.ts";
import type { Log } from "./log.ts";
import type { Queue } from "./queue/boss.ts";
import type { Runners } from "./app-runners.ts";
import type { Tracing } from "./tracing/tracing.ts";
import type { Networks } from "./webhooks/networks.ts";
import type { Sender } from "./webhooks/deliver.ts";
import type { Node } from "./worker/node.ts";
import type { Worker } from "./worker/worker.ts";

/** Everything below the surfaces, built once: what the app wires together. */
export type Rooms = {
  config: Config;
  log: Log;
  database: OpenedDatabase;
  queue: Queue;
  engine: Engine;
  submitter: Submitter;
  finisher: Finisher;
  appender: Appender;
  files: FileStore;
  runners: Runners;
  worker: Worker;
  node: Node;
  sender: Sender;
  webhookAllow: Networks;
  /** Null unless traces are collected. */
  tracing: Tracing | null;
  keys: NodeKeys;
};
