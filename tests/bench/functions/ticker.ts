import { defineFunction } from "../../../src/functions.ts";

export default defineFunction({
  description: "Logs a line so many times a second; each is an event of its own",
  params: { perSecond: { type: "number", default: 100 }, seconds: { type: "number", default: 10 } },
  config: { timeout: 600_000 },
  async handler({ perSecond, seconds }, { log }) {
    const startedMs = performance.now();
    for (let count = 1; count <= perSecond * seconds; count++) {
      const waitMs = startedMs + (count * 1_000) / perSecond - performance.now();
      if (waitMs > 0) await Bun.sleep(waitMs);
      log(`tick ${count}`);
    }
    return perSecond * seconds;
  },
});
