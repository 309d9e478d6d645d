/** Runs `act` for every item, at most `max` at a time. The first failure is thrown when those under way have ended. */
export async function atOnce<T>(
  items: Iterable<T>,
  options: { max: number; act: (item: T) => Promise<void> },
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const faults: unknown[] = [];
  const lane = async () => {
    for (let next = queue.next(); !next.done && faults.length === 0; next = queue.next()) {
      await options.act(next.value).catch((fault: unknown) => faults.push(fault));
    }
  };
  await Promise.all(Array.from({ length: options.max }, lane));
  if (faults.length > 0) throw faults[0];
}
