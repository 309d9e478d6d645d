import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineError } from "../../src/errors.ts";
import { chooseSandbox, type SandboxMode, type SandboxOptions } from "../../src/runners/sandbox/choose.ts";
import { whenFileEnds } from "../support/ending.ts";
import {
  failureOf,
  hasBwrap,
  isRoot,
  makeDataDir,
  messageOf,
  openTrial,
  removeHostile,
} from "../support/script-trial.ts";

const here = { loopback: true, embedded: true };
const elsewhere = [
  { loopback: false, embedded: true },
  { loopback: true, embedded: false },
  { loopback: false, embedded: false },
];

describe("without bubblewrap", () => {
  test("auto runs scripts unisolated on a loopback listener with the embedded database, and says so", async () => {
    const choice = await choose({ mode: "auto", bwrap: null, ...here });
    expect(choice.tier).toBe("none");
    expect(choice.description).toContain("NOT isolated");
    expect(choice.description).toContain("apt-get install bubblewrap");
    expect(choice.warning).toContain("this run is not isolated");
  });

  test.each(elsewhere)("auto runs no script with loopback $loopback and embedded database $embedded", async (place) => {
    const trial = await openTrial({ mode: "auto", bwrap: null, ...place });
    const { outcome, facts } = await trial.run({ text: "touch /tmp/it-ran" });
    expect(trial.choice.tier).toBe("unavailable");
    expect(failureOf(outcome)).toBe("sandbox_unavailable");
    expect(messageOf(outcome)).toContain("apt-get install bubblewrap");
    expect(messageOf(outcome)).toContain("SANDBOX=none");
    expect(facts.sandbox).toBe("unavailable");
  });

  test.each(["bwrap", "required"] as const)("%s refuses to start, with the fix", async (mode) => {
    const fault = await faultOf({ mode, bwrap: null, ...here });
    expect(fault).toBeInstanceOf(EngineError);
    expect(fault.message).toContain(`SANDBOX=${mode}`);
    expect(fault.message).toContain("apt-get install bubblewrap");
  });

  test("none that is spelled out runs scripts anywhere and warns on every run", async () => {
    const trial = await openTrial({ mode: "none", bwrap: null, loopback: false, embedded: false });
    const { outcome, logs, facts } = await trial.run({ text: "echo hello" });
    expect(outcome.kind).toBe("succeeded");
    expect(logs.filter((line) => line.startsWith("warn: this run is not isolated"))).toHaveLength(1);
    expect(facts.sandbox).toStartWith("none: limits only, network open");
    expect(facts.limits?.network).toBe(true);
  });
});

describe.skipIf(!hasBwrap)("a bubblewrap that does not hold what it promises is found out:", () => {
  const weakened: [what: string, wrapper: string, says: string][] = [
    [
      "it cannot make namespaces",
      `echo "bwrap: No permissions to create new namespace" >&2; exit 1`,
      "max_user_namespaces",
    ],
    ["it is too old", `echo "bwrap: Unknown option --disable-userns" >&2; exit 1`, "0.8 or newer"],
    ["it loads no filter", rewriting("--seccomp) shift ;;"), "the seccomp filter is not in force"],
    ["it keeps the network", rewriting("--unshare-all) args+=(--unshare-all --share-net) ;;"), "there is a network"],
    [
      "it leaves the root writable",
      rewriting("--remount-ro) shift ;;"),
      "the root of the file system can be written to",
    ],
    ["it shows /etc", rewriting("--proc) args+=(--ro-bind /etc /etc --proc) ;;"), "/etc of the machine can be seen"],
    ["it does nothing", "exit 0", "exit code 0"],
  ];

  test.each(weakened)("%s", async (_what, wrapper, says) => {
    const bwrap = installWrapper(wrapper);
    expect((await faultOf({ mode: "required", bwrap, ...here })).message).toContain(says);
    const choice = await choose({ mode: "auto", bwrap, loopback: false, embedded: true });
    expect([choice.tier, choice.refusal?.includes(says)]).toEqual(["unavailable", true]);
  });

  test.skipIf(!isRoot)("the kernel makes no user namespaces", async () => {
    const forbid = `echo 0 > /proc/sys/user/max_user_namespaces; exec bun "$@"`;
    const server = [join(import.meta.dir, "../support/script-server.ts"), "required", "blocked", dataDirForFile()];
    const child = Bun.spawn(["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", ...server], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    expect(await new Response(child.stderr).text()).toContain("max_user_namespaces");
    expect(await child.exited).not.toBe(0);
  });
});

describe.skipIf(!hasBwrap || !isRoot)("as root", () => {
  test("scripts run from a data directory that no other account may enter", async () => {
    const closed = mkdtempSync(join(tmpdir(), "fairlead-closed-"));
    whenFileEnds(async () => removeHostile(closed));
    const dataDir = join(closed, "data");
    mkdirSync(dataDir, { mode: 0o700 });
    for (const mode of ["bwrap", "none"] as const) {
      const trial = await openTrial({ mode, dataDir });
      const { output, outcome, directory } = await trial.run({ text: 'touch made && id -u && cat "$HOME/run.sh"' });
      expect(outcome.kind).toBe("succeeded");
      expect(output).toContain("touch made");
      expect(statSync(join(directory, "made")).uid).toBeGreaterThan(60_000);
    }
    expect(statSync(closed).mode & 0o777).toBe(0o700);
  });

  test("each payload belongs to an account of its own, and keeps it", async () => {
    const trial = await openTrial();
    const text = "id -u; stat -c %u run.sh notes";
    const first = await trial.run({ text, files: { notes: "" } });
    const second = await trial.run({ text, files: { notes: "" } });
    const again = await trial.run({ directory: first.directory });
    const account = (run: { directory: string }) => statSync(run.directory).uid;
    expect(account(first)).not.toBe(account(second));
    expect(account(first)).toBe(statSync(join(first.directory, "notes")).uid);
    expect(again.output).toBe(first.output);
    expect(statSync(first.directory).mode & 0o777).toBe(0o700);
    expect(first.output).toBe("1000\n1000\n1000\n");
  });

  test("files of a payload that has been run are never given away again", async () => {
    const trial = await openTrial();
    const first = await trial.run({ text: "true" });
    const root = join(first.directory, "of-root");
    writeFileSync(root, "put here by the machine's owner");
    await trial.run({ directory: first.directory });
    expect(statSync(root).uid).toBe(0);
  });

  test("a payload of another account is not run", async () => {
    const trial = await openTrial();
    const { directory } = await trial.run({ text: "true" });
    Bun.spawnSync(["chown", "nobody", directory]);
    const { outcome } = await trial.run({ directory });
    expect(messageOf(outcome)).toContain("neither the server nor an account of its runs");
  });
});

const dataDirs: string[] = [];

function dataDirForFile(): string {
  const dataDir = makeDataDir();
  if (dataDirs.push(dataDir) === 1) whenFileEnds(async () => dataDirs.forEach(removeHostile));
  return dataDir;
}

async function choose(options: Partial<SandboxOptions> & { mode: SandboxMode }) {
  const choice = await chooseSandbox({ ...here, tag: "choose", dataDir: dataDirForFile(), ...options });
  whenFileEnds(() => choice.close());
  return choice;
}

async function faultOf(options: Partial<SandboxOptions> & { mode: SandboxMode }): Promise<Error> {
  const chosen = await choose(options).catch((fault: Error) => fault);
  if (chosen instanceof Error) return chosen;
  throw new Error(`The sandbox is ${chosen.tier}, and should have been refused`);
}

/** Passes the arguments on to bubblewrap, with one case of its own for an argument and its value. */
function rewriting(one: string): string {
  return `args=(); while [ $# -gt 0 ]; do case $1 in ${one} *) args+=("$1") ;; esac; shift; done; exec bwrap "\${args[@]}"`;
}

function installWrapper(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "fairlead-bwrap-"));
  whenFileEnds(async () => rmSync(directory, { recursive: true }));
  chmodSync(directory, 0o755);
  const path = join(directory, "bwrap");
  writeFileSync(path, `#!/bin/bash\n${text}\n`, { mode: 0o755 });
  return path;
}
