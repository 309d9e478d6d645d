/** Rests for a while. */
export default {
  params: { ms: { type: "number", required: true } },
  config: { timeout: 60_000 },
  async handler({ ms }: { ms: number }) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { rested: ms };
  },
};
