import { createHash } from "node:crypto";
import { defineFunction } from "fairlead";

const roundsPerReport = 10_000;

export default defineFunction({
  description: "Hashes a text over and over with SHA-256: work for a processor",
  params: {
    text: { type: "string", required: true, max: 1_000_000 },
    rounds: { type: "number", default: 1_000, min: 1, max: 100_000_000 },
  },
  handler({ text, rounds }, { progress }) {
    let digest = createHash("sha256").update(text).digest();
    for (let round = 1; round < rounds; round += 1) {
      digest = createHash("sha256").update(digest).digest();
      if (round % roundsPerReport === 0) progress(round / rounds);
    }
    return { sha256: digest.toString("hex"), rounds };
  },
});
