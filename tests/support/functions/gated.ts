import { existsSync } from "node:fs";

export default {
  description: "Ends once a file is there",
  params: { path: { type: "string", required: true } },
  config: { timeout: 60_000 },
  async handler({ path }: { path: string }) {
    while (!existsSync(path)) await Bun.sleep(5);
    return { found: path };
  },
};
