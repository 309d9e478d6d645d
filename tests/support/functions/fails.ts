export default {
  params: { message: { type: "string", required: true } },
  handler({ message }: { message: string }) {
    throw new Error(message);
  },
};
