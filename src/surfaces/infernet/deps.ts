import type { Engine } from "../../engine/context.ts";
import type { Submitter } from "../../engine/submit.ts";
import type { GuardedContainer } from "./guard.ts";
import type { Askable } from "./resources.ts";

/** A container as `/info` shows it. */
export type ShownContainer = { id: string; description: string; external: boolean; image: string };

export type InfernetDeps = {
  engine: Engine;
  submitter: Submitter;
  containers: {
    list(): ShownContainer[];
    find(id: string): GuardedContainer | null;
    /** Those that listen somewhere now. */
    askable(): Askable[];
    /** What is wrong with the containers file since it was last good, in words. */
    problems(): string[];
  };
  /** How long one link may take. */
  linkMs: number;
  bodyMaxBytes: number;
};
