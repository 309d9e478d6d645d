import type { Engine } from "../../engine/context.ts";
import type { Submitter } from "../../engine/submit.ts";
import type { GuardedContainer } from "./guard.ts";

/** A container as `/info` shows it. */
export type ShownContainer = { id: string; description: string; external: boolean; image: string };

export type InfernetDeps = {
  engine: Engine;
  submitter: Submitter;
  containers: { list(): ShownContainer[]; find(id: string): GuardedContainer | null };
  /** How long one link may take. */
  linkMs: number;
  bodyMaxBytes: number;
};
