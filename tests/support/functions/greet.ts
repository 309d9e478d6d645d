export const greet = {
  params: { name: { type: "string", default: "World" } },
  config: { supportsStreaming: true },
  handler({ name }: { name: string }, { stream }: { stream: (text: string) => void }) {
    stream("Hello ");
    stream(`${name}!`);
    return { message: `Hello ${name}!` };
  },
};
