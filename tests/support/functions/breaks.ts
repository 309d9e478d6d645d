export default {
  params: {},
  config: { supportsStreaming: true },
  async handler(_params: object, { stream }: { stream: (text: string) => void }) {
    stream("so far ");
    await new Promise((resolve) => setTimeout(resolve, 20));
    throw new Error("broken in the middle");
  },
};
