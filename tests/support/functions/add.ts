export default {
  params: { a: { type: "number", required: true }, b: { type: "number", required: true } },
  handler: ({ a, b }: { a: number; b: number }) => ({ sum: a + b }),
};
