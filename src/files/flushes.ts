/** Files on their way to the disk. They share one write of the file system's journal when they are under way at once. */
export type Flushes = {
  /** Waits only when many are under way. A failure is told by `settled`. */
  add(flush: Promise<void>): Promise<void>;
  /** Resolves when all of them have ended; throws the first failure. */
  settled(): Promise<void>;
};

const flushesMax = 16;

export function createFlushes(): Flushes {
  const underWay = new Set<Promise<void>>();
  const faults: unknown[] = [];
  return {
    async add(flush) {
      const tracked = flush.catch((fault: unknown) => void faults.push(fault)).finally(() => underWay.delete(tracked));
      underWay.add(tracked);
      if (underWay.size >= flushesMax) await Promise.race(underWay);
    },
    async settled() {
      await Promise.all(underWay);
      if (faults.length > 0) throw faults[0];
    },
  };
}
