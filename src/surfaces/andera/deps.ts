import type { Engine } from "../../engine/context.ts";
import type { Submitter } from "../../engine/submit.ts";
import type { Log } from "../../log.ts";
import type { FunctionConfig, ParamRules } from "../../functions.ts";
import type { Streams } from "../../http/streams.ts";
import type { Sidecar } from "./sidecar.ts";

/** A function as this surface needs to know it. */
export type KnownFunction = { name: string; params: ParamRules; config: FunctionConfig };

/** What the surface is given by the app. */
export type AnderaDeps = {
  engine: Engine;
  submitter: Submitter;
  log: Log;
  functions: { get(name: string): KnownFunction | undefined; list(): KnownFunction[] };
  /** Slots of functions on this node. */
  slots(): { used: number; limit: number };
  onSlots(listener: () => void): () => void;
  /** This node's maintenance, kept over restarts. */
  setMaintenance(on: boolean): Promise<void>;
  sidecar: Sidecar;
  streams: Streams;
  /** Checks the target of a webhook and its headers; returns the headers sealed, or undefined when there are none. Throws `EngineError`. */
  sealWebhook(webhook: { url: string; headers?: unknown }): string | undefined;
  group: string;
  contract: number;
  defaultTimeoutMs: number;
  websocketPort: number;
  authKeys: readonly string[];
  lbAuthKey: string;
  bodyMaxBytes: number;
};
