import { defineFunction } from "fairlead";

export default defineFunction({
  description: "Greets by name; streams the greeting in pieces when asked to",
  params: { name: { type: "string", required: false, default: "World" } },
  config: { supportsStreaming: true },
  handler({ name }, { stream, streaming }) {
    if (streaming) for (const piece of ["Hello", " ", `${name}!`]) stream(piece);
    return { message: `Hello ${name}!` };
  },
});
