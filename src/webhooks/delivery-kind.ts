import type { DueDelivery } from "../engine/delivery-queue.ts";
import type { Networks } from "./networks.ts";
import type { PostOutcome } from "./post.ts";
import type { RetrySettings } from "./schedule.ts";

/** What is sent instead of a delivery's own body. `close` frees what it was made of, once the attempt is over. */
export type BuiltBody = { contentType: string; body: string | Blob; close(): Promise<void> };

/** How deliveries of one kind of webhook differ from all others. */
export type DeliveryKind = {
  /** Where they may go: their URLs are the operator's own. */
  allow: Networks;
  timeoutMs: number;
  retries: RetrySettings;
  /** Whether an answer is one that another try would not change. */
  isFinal?(status: number): boolean;
  /**
   * Makes the body at the time of sending, where it consists of files. Null when it can never be made: the delivery is over then. Rejects
   * when it cannot be made now.
   */
  build?(due: DueDelivery, signal: AbortSignal): Promise<BuiltBody | null>;
};

/** Why a delivery is over whose body can never be made. */
export const filesGone = "the files of this report are gone";

/** The body of one attempt, or how the attempt ends without one. Never rejects. */
export async function buildBody(
  kind: DeliveryKind,
  due: DueDelivery,
  signal: AbortSignal,
): Promise<BuiltBody | { outcome: PostOutcome }> {
  const startedMs = performance.now();
  const failed = (reason: string): { outcome: PostOutcome } => ({
    outcome: { kind: "failed", reason, durationMs: Math.round(performance.now() - startedMs) },
  });
  try {
    const plain = { contentType: due.contentType, body: due.body, close: async () => undefined };
    if (kind.build === undefined) return plain;
    return (await kind.build(due, signal)) ?? failed(filesGone);
  } catch (fault) {
    if (signal.aborted) return { outcome: { kind: "interrupted" } };
    return failed(`the body could not be made: ${fault instanceof Error ? fault.message : String(fault)}`);
  }
}
