/** Kills the node that runs it, or, with `worker`, only the process that it runs in. */
export default {
  params: { whom: { type: "string", enum: ["node", "worker"], required: true } },
  async handler({ whom }: { whom: "node" | "worker" }) {
    process.kill(whom === "node" ? process.ppid : process.pid, "SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  },
};
