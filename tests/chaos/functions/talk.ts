/** Says so many lines with a pause between them; each is an event of its own. */
export default {
  params: { lines: { type: "number", required: true }, everyMs: { type: "number", required: true } },
  config: { timeout: 60_000 },
  async handler({ lines, everyMs }: { lines: number; everyMs: number }, { log }: { log(text: string): void }) {
    for (let line = 1; line <= lines; line++) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      log(`line ${line}`);
    }
    return { said: lines };
  },
};
