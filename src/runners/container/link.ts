import type { Failure, RunRequest } from "../contract.ts";

/** What one link of a chain asks of its container. `source` is 0 for on-chain and 1 for off-chain, as in the container protocol. */
export type Link = {
  inputJson: string;
  source: number;
  requiresProof: boolean;
  isStream: boolean;
  traceparent: string | null;
};

/**
 * What the container made of it; `json` is the output as text where it is at hand. A failure's text is final: it names the
 * container. `lostConnection` says that there is no answer because nobody was there: before the call, or any more.
 */
export type LinkResult = { output: unknown; json?: string } | { error: Failure; lostConnection?: "before" | "during" };

/** The link in a run's options `{ source?, requiresProof?, stream? }`. */
export function readLink(request: RunRequest): Link {
  const { source, requiresProof, stream } = request.options;
  return {
    inputJson: request.inputJson ?? JSON.stringify(request.input ?? {}),
    source: typeof source === "number" ? source : 1,
    requiresProof: requiresProof === true,
    isStream: stream === true,
    traceparent: request.traceparent,
  };
}

/** The document of the container protocol: destination 1 is off-chain, 2 a stream, which carries no `requires_proof`. */
export function linkBody({ inputJson, source, requiresProof, isStream }: Link): string {
  if (isStream) return `{"source":${source},"destination":2,"data":${inputJson}}`;
  return `{"source":${source},"destination":1,"data":${inputJson},"requires_proof":${requiresProof}}`;
}
