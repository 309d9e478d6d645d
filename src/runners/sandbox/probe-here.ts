import type { SandboxDriver } from "./driver.ts";
import type { Machine } from "./machine.ts";
import { type Check, probeDriver } from "./probe.ts";

/** Tries a driver on this machine, in a directory where payloads are and as an account that runs get. */
export async function probeHere(
  driver: SandboxDriver,
  machine: Machine,
  checks: readonly Check[],
): Promise<string | null> {
  const identity = machine.accounts?.take(null) ?? null;
  try {
    return await probeDriver(driver, { parent: machine.dataDir, identity, checks });
  } finally {
    if (identity !== null) machine.accounts?.give(identity);
  }
}
