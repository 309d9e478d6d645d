/** Polls until `check` gives something other than null, undefined or false, and fails with what it waited for. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  options: { withinMs?: number; everyMs?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + (options.withinMs ?? 10_000);
  for (;;) {
    const found = await check();
    if (found !== null && found !== undefined && found !== false) return found as NonNullable<Exclude<T, false>>;
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await Bun.sleep(options.everyMs ?? 10);
  }
}
