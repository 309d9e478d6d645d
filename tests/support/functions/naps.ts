export default {
  params: { ms: { type: "number", required: true } },
  config: { timeout: 1_500 },
  async handler({ ms }: { ms: number }) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { rested: ms };
  },
};
