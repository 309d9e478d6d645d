import type { Accounts } from "./accounts.ts";
import type { Cgroups } from "./cgroups.ts";
import type { ChannelStock } from "./channels.ts";
import type { SandboxDriver } from "./driver.ts";

/** A driver that was probed, with what the machine offers to hold its runs. Made by `chooseSandbox`. */
export type Sandbox = {
  readonly driver: SandboxDriver;
  /** Host accounts for runs; null unless the server is root. */
  readonly accounts: Accounts | null;
  /** Null where groups are not writable: a watcher then bounds the memory of a run. */
  readonly cgroups: Cgroups | null;
  readonly channels: ChannelStock;
  /** Where payloads are. */
  readonly dataDir: string;
  /** A directory of the server's own. */
  readonly stateDir: string;
  /** Host paths that every run sees read-only. */
  readonly readOnly: string[];
  /** The tier in force for one run, in one line: what is recorded on it. */
  describe(network: boolean): string;
};
