import type { DueDelivery } from "../engine/delivery-queue.ts";
import type { PostOutcome } from "./post.ts";

/** Follows attempts for whoever collects traces. Calls never throw. */
export type AttemptTracer = { begin(due: DueDelivery): AttemptTrace };

/** One attempt: `traceparent` is what the receiver is told, so that what it does is found below the attempt. */
export type AttemptTrace = { traceparent: string; end(outcome: PostOutcome): void };
