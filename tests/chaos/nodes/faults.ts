import type { ClusterNode, ClusterNodes } from "./cluster-nodes.ts";
import type { Random } from "./random.ts";

/** What is done to a cluster under load. */
export const faultKinds = ["kill", "freeze", "drain", "cut", "stalled", "half-open", "postgres", "poison"] as const;
export type FaultKind = (typeof faultKinds)[number];

export type FaultOptions = {
  cluster: ClusterNodes;
  random: Random;
  leaseS: number;
  /** Kills the database, which comes back by itself. */
  killPostgres: () => void;
  /** Submits a job that kills its node each time it runs. */
  submitPoison: () => Promise<void>;
};

const killedCode = 128 + 9;

/** Does it once and waits until it is over. Returns what went wrong with it, or null. */
export async function inflict(kind: FaultKind, node: ClusterNode, options: FaultOptions): Promise<string | null> {
  const { cluster, random, leaseS } = options;
  switch (kind) {
    case "kill":
      await cluster.kill(node);
      return null;
    case "freeze":
      await cluster.freeze(node, durationMs(random, leaseS));
      return null;
    case "drain": {
      const code = await cluster.drain(node);
      // A poison may be what it had to let end.
      return code === 0 || code === killedCode ? null : `${node.name} ended with ${code} when it was told to stop`;
    }
    case "cut":
    case "stalled":
    case "half-open":
      await cluster.disconnect(node, kind, durationMs(random, leaseS));
      return null;
    case "postgres":
      options.killPostgres();
      return null;
    case "poison":
      await options.submitPoison();
      return null;
    default:
      return kind satisfies never;
  }
}

/** Half of them end within the lease, half last well beyond it. */
function durationMs(random: Random, leaseS: number): number {
  const leases = random.next() < 0.5 ? random.between(0.05, 0.6) : random.between(1.2, 2);
  return leases * leaseS * 1_000;
}
