/** Fails at its first attempt. */
export default {
  params: {},
  handler(_params: object, { attempt }: { attempt: number }) {
    if (attempt === 1) throw new Error("not at once");
    return { attempt };
  },
};
