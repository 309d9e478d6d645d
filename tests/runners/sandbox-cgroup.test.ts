import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findCgroups } from "../../src/runners/sandbox/cgroups.ts";
import type { SandboxSpec } from "../../src/runners/sandbox/driver.ts";
import { groupMembers, type RunCgroup, runCgroup } from "../../src/runners/sandbox/run-cgroup.ts";
import { whenFileEnds } from "../support/ending.ts";
import { trialLimits } from "../support/script-limits.ts";
import { hasBwrap, isRoot, makePayload, openTrial, processesMarked } from "../support/script-trial.ts";
import { until } from "../support/until.ts";

const hasCgroups = findOut();
const modes = [...(hasBwrap ? (["bwrap"] as const) : []), "none" as const];
const ways = modes.flatMap((mode) => [
  { mode, way: "moves itself", entersItself: true },
  { mode, way: "is moved from outside", entersItself: false },
]);
const bytesPerMb = 1_048_576;

describe.skipIf(!isRoot || !hasCgroups)("the control group of a run", () => {
  test.each(ways)(
    "under $mode, whose first process $way, has all it starts and what it writes to /tmp",
    async ({ mode, entersItself }) => {
      const { trial, groups } = await openRecordingTrial(mode, entersItself);
      const mark = `group-${mode}-${process.pid}-${entersItself}`;
      const text = `head -c 40M /dev/zero > /tmp/${mark}; bash -c 'exec -a ${mark} sleep 60' & (setsid bash -c 'exec -a ${mark} sleep 60' &); echo up; wait`;
      const run = trial.start({ text });
      await until("both stand", () => run.output().includes("up") && processesMarked(mark).length === 2);
      const directory = groups[0]?.directory ?? "";
      expect(groupMembers(directory)).toEqual(expect.arrayContaining(processesMarked(mark)));
      expect(groupMembers(directory)).not.toContain(process.pid);
      if (mode === "bwrap") expect(usedMb(directory)).toBeGreaterThan(40);
      run.active.stop("fenced");
      await run.done;
      if (mode === "none") rmSync(`/tmp/${mark}`);
    },
  );

  test.each(modes)("under %s leaves no descriptor behind that leads into it", async (mode) => {
    const trial = await openTrial({ mode });
    const { output } = await trial.run({ text: "for n in {0..20}; do [ -e /proc/$$/fd/$n ] && echo $n; done" });
    expect(output).toBe("0\n1\n2\n");
  });
});

describe.each(modes)("under %s a control group that cannot be entered", (mode) => {
  test("keeps the command from starting, and is named", async () => {
    const { choice, dataDir } = await openTrial({ mode });
    const directory = makePayload(dataDir, { text: "touch it-ran" });
    const opened = [openSync("/dev/null", "r"), openSync("/dev/null", "w"), openSync("/dev/full", "w")] as const;
    const run = choice.sandbox?.driver.start({ ...specFor(directory, opened), cgroup: "nowhere" });
    for (const descriptor of opened) closeSync(descriptor);
    expect(await run?.ready).toBe(false);
    expect(await run?.exited).toMatchObject({ code: 114, fault: "cannot enter the control group" });
    expect(await run?.kill()).toBe(0);
    expect(await Bun.file(join(directory, "it-ran")).exists()).toBe(false);
  });
});

test("a group has a way in only where the kernel has one", () => {
  const root = mkdtempSync(join(tmpdir(), "fairlead-cgroup-"));
  whenFileEnds(async () => rmSync(root, { recursive: true }));
  const limits = { memoryMb: 64, processes: 8 };
  const second = runCgroup(join(root, "second"), 2, limits);
  expect([second?.entry, second?.close()]).toEqual([null, undefined]);
  // A directory stands in for the kernel's, which has the file as soon as the group is made.
  const first = runCgroup(join(root, "first"), 1, limits);
  if (first === null || first.entry === null) throw new Error("There is no way in");
  writeFileSync(first.entry, "0");
  first.close();
  expect(readFileSync(join(root, "first", "tasks"), "utf8")).toBe("0");
});

/** A trial that keeps the groups of its runs, with or without the way in. */
async function openRecordingTrial(mode: "bwrap" | "none", entersItself: boolean) {
  const trial = await openTrial({ mode });
  const groups: RunCgroup[] = [];
  const cgroups = trial.choice.sandbox?.cgroups;
  if (cgroups === undefined || cgroups === null) throw new Error("There are no control groups");
  const { open } = cgroups;
  cgroups.open = (runId, limits) => {
    const group = open(runId, limits);
    if (group !== null) groups.push(group);
    return group === null || entersItself ? group : { ...group, entry: null };
  };
  return { trial, groups };
}

function specFor(directory: string, [stdin, sink, cgroupEntry]: readonly [number, number, number]): SandboxSpec {
  return {
    ...{ runId: "entering", directory, limits: trialLimits, identity: null, environment: {}, readOnly: [] },
    ...{ command: ["bash", "run.sh"], cgroup: null, cgroupEntry, stdin, stdout: sink, stderr: sink },
  };
}

function usedMb(directory: string): number {
  for (const name of ["memory.usage_in_bytes", "memory.current"]) {
    try {
      return Number(readFileSync(join(directory, name), "utf8")) / bytesPerMb;
    } catch {
      // Each version of control groups has its own file.
    }
  }
  return 0;
}

function findOut(): boolean {
  const found = findCgroups(`probe-${process.pid}`);
  found?.close();
  return found !== null;
}
