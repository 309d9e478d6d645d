import { setTimeout as pause } from "node:timers/promises";
import { defineFunction } from "fairlead";

export default defineFunction({
  description: "Counts down and reports its progress; stops when the job is cancelled",
  params: {
    from: { type: "number", default: 5, min: 1, max: 10_000, description: "Number to start at" },
    intervalMs: { type: "number", default: 1_000, min: 0, max: 60_000, description: "Pause after each number" },
  },
  config: { supportsStreaming: true, timeout: 3_600_000 },
  async handler({ from, intervalMs }, { progress, signal, stream, streaming }) {
    for (let left = from; left > 0; left -= 1) {
      progress((from - left) / from, `${left} to go`);
      if (streaming) stream(`${left}\n`);
      await pause(intervalMs, undefined, { signal });
    }
    progress(1, "Lift-off");
    return { counted: from };
  },
});
