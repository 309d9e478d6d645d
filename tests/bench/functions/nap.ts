import { defineFunction } from "../../../src/functions.ts";

export default defineFunction({
  description: "Rests for so many milliseconds",
  params: { ms: { type: "number", default: 50 } },
  config: { timeout: 60_000 },
  async handler({ ms }) {
    await Bun.sleep(ms);
    return ms;
  },
});
