/**
 * The words of an Infernet node. Source: ritual-net/infernet-node, src/server/api.md (v0.1.0) and its code (1.4.0). Where the document says 400
 * and the code 405, 400 is answered: both published clients look at the body alone.
 */

export const nodeVersion = "1.4.0";

export type Refused = { error: string; params: Record<string, unknown> };
export type ContainerResult = { container: string; output: unknown } | { container: string; error: string };
export type JobResult = {
  id: string;
  status: "running" | "success" | "failed";
  result: ContainerResult | null;
  intermediate_results?: ContainerResult[];
};

/** A job that may be created: which containers in which order, and the input of the first as JSON text. */
export type JobRequest = { containers: string[]; dataJson: string; requiresProof: boolean };

/** More links than this are refused: a chain is written by hand, a loop by mistake. */
export const linksMax = 64;
export const batchMax = 1_000;
