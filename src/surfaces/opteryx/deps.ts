import type { Engine } from "../../engine/context.ts";
import type { Submitter } from "../../engine/submit.ts";
import type { FunctionConfig } from "../../functions.ts";
import type { TokenVerifier } from "./verify.ts";

/** What the surface is given by the app. */
export type OpteryxDeps = {
  engine: Engine;
  submitter: Submitter;
  verifier: TokenVerifier;
  /** `SUBMIT_FUNCTION`: what an unknown `execution_id` starts; empty for nothing. */
  submitFunction: string;
  functions: { get(name: string): { config: FunctionConfig } | undefined };
  defaultTimeoutMs: number;
  bodyMaxBytes: number;
};
