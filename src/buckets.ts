/** A histogram as plain numbers: how many observations fell at or below each bound, and their sum. */
export type Buckets = {
  /** Upper bounds in ascending order; what lies above the last one is counted behind it. */
  readonly bounds: readonly number[];
  /** One count a bound, not cumulated, and one for what lies above the last. */
  readonly counts: Float64Array;
  sum: number;
};

/** From a millisecond to five minutes: what a request, a statement or a webhook may take. */
export const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** From a millisecond to a day: what work may take, and may have to wait. */
export const longSecondsBounds = [...secondsBounds, 1_800, 7_200, 86_400];

export function createBuckets(bounds: readonly number[]): Buckets {
  return { bounds, counts: new Float64Array(bounds.length + 1), sum: 0 };
}

/** Counts one observation. Allocates nothing: requests and runs pay for it. */
export function observe(buckets: Buckets, value: number): void {
  const { bounds, counts } = buckets;
  let at = 0;
  while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
  counts[at] = (counts[at] ?? 0) + 1;
  buckets.sum += value;
}
