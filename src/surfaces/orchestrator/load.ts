import { cpus } from "node:os";

const sampleMs = 200;
const reuseMs = 200;

type Sample = { busy: number; total: number };

/** Measures the CPU use of the machine over the last moment, 0 to 100 with one decimal; callers at the same time share a measurement. */
export function createLoadMeter(): () => Promise<number> {
  let current: { atMs: number; value: Promise<number> } | null = null;
  return () => {
    const nowMs = performance.now();
    if (current === null || nowMs - current.atMs > sampleMs + reuseMs) current = { atMs: nowMs, value: measure() };
    return current.value;
  };
}

async function measure(): Promise<number> {
  const before = sample();
  await Bun.sleep(sampleMs);
  const after = sample();
  const total = after.total - before.total;
  return total <= 0 ? 0 : Math.round(((after.busy - before.busy) / total) * 1000) / 10;
}

function sample(): Sample {
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    const spent = times.user + times.nice + times.sys + times.irq;
    busy += spent;
    total += spent + times.idle;
  }
  return { busy, total };
}
