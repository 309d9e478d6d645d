import { mkdirSync, rmSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { type Backstop, createBackstop } from "./backstop.ts";
import { type Accounts, createAccounts, findAccountRange } from "./accounts.ts";
import { type Cgroups, findCgroups } from "./cgroups.ts";
import { type ChannelStock, createChannelStock } from "./channels.ts";
import { type Gateway, openGateway } from "./gateway.ts";
import { processIds } from "./process-scan.ts";
import { isReachable, openWay } from "./reachable.ts";
import { tasksOf } from "./usage.ts";

/** What this machine offers to hold runs, opened once. */
export type Machine = {
  readonly accounts: Accounts | null;
  readonly cgroups: Cgroups | null;
  readonly channels: ChannelStock;
  readonly backstop: Backstop;
  readonly gateway: Gateway | null;
  readonly dataDir: string;
  readonly stateDir: string;
  /** Below `dataDir`, for what runs are shown of it; they can reach it. */
  readonly shownDir: string;
  /** Set when runs cannot get to the data directory; why. */
  readonly unreachable: string | null;
  close(): Promise<void>;
};

/** Looks the machine over; `dataDir` is where payloads are. What an earlier server left in its state directory is removed. */
export async function openMachine(tag: string, dataDir: string): Promise<Machine> {
  // By tag: another server on the same directory keeps its own.
  const stateDir = join(dataDir, "sandbox", tag);
  const shownDir = `${stateDir}.shown`;
  const clear = () => {
    for (const directory of [stateDir, shownDir]) rmSync(directory, { recursive: true, force: true });
  };
  mkdirSync(dataDir, { recursive: true });
  clear();
  for (const directory of [stateDir, shownDir]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const range = findAccountRange();
  if (range !== null) openWay(dataDir, shownDir);
  const cgroups = findCgroups(tag);
  const gate = range === null || isReachable(dataDir) ? null : await openGateway(dataDir, tag);
  const gateway = typeof gate === "string" ? null : gate;
  const backstop = createBackstop(stateDir);
  return {
    accounts: range === null ? null : createAccounts(range),
    cgroups,
    channels: createChannelStock(stateDir),
    backstop,
    gateway,
    dataDir,
    stateDir,
    shownDir,
    unreachable: typeof gate === "string" ? gate : null,
    close: async () => {
      await backstop.close();
      await gateway?.close();
      cgroups?.close();
      clear();
    },
  };
}

const perNamespaceSince = { major: 5, minor: 14 };

/** Tasks that the kernel counts with a run's although they are not its own. */
export type OtherTasks = {
  /** There never are any. */
  readonly areNone: boolean;
  count(): number;
};

/** Linux 5.14 counts each user namespace by itself. */
export function otherTasks(machine: Machine, hasNamespace: boolean): OtherTasks {
  const [major = 0, minor = 0] = release()
    .split(".")
    .map((part) => Number.parseInt(part, 10));
  const { major: since, minor: sinceMinor } = perNamespaceSince;
  const isPerNamespace = major > since || (major === since && minor >= sinceMinor);
  if (machine.accounts !== null || (hasNamespace && isPerNamespace)) return { areNone: true, count: () => 0 };
  const uid = process.getuid?.() ?? 0;
  return { areNone: false, count: () => tasksOf(uid, processIds()) };
}
