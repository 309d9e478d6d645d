import { appendFileSync } from "node:fs";

/** Writes into a file that it goes on, every now and then: who looks at the file later sees which executions overlapped. */
export default {
  params: { file: { type: "string", required: true }, ms: { type: "number", required: true } },
  config: { timeout: 120_000 },
  async handler({ file, ms }: { file: string; ms: number }) {
    const execution = crypto.randomUUID();
    const since = performance.now();
    while (performance.now() - since < ms) {
      appendFileSync(file, `${execution} ${performance.timeOrigin + performance.now()}\n`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { execution };
  },
};
