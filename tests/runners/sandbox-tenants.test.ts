import { expect, test } from "bun:test";
import { lstatSync } from "node:fs";
import { hasBwrap, isFull, processesMarked, removeHostile, sharedTrial } from "../support/script-trial.ts";
import { until } from "../support/until.ts";

const opened = sharedTrial({
  mode: hasBwrap ? "bwrap" : "none",
  graceMs: 50,
  maximum: { processes: 128, fileMb: 4_096 },
});

test.skipIf(!hasBwrap || Bun.which("perl") === null)("a run finds nothing of another that runs beside it", async () => {
  const trial = await opened();
  const secret = `secret-${crypto.randomUUID()}`;
  const first = trial.start({ program: "tenant-keeps.sh", files: { secret } });
  const pid = await until(
    "the neighbour is up",
    () => first.output().includes("up") && processesMarked(`tenant-of-${secret}`)[0],
  );
  const { output } = await trial.run({
    program: "tenant-looks.sh",
    files: { "targets.env": `NEIGHBOUR=${first.directory}\nPID=${pid}`, own: "nothing-of-mine" },
  });
  first.active.stop("cancelled");
  await first.done;
  const verdicts = output.trim().split("\n");
  expect(verdicts.filter((line) => !line.endsWith("\theld"))).toEqual([]);
  expect(verdicts).toHaveLength(12);
});

test("a directory full of traps is left behind by a run that ends in an ordinary way", async () => {
  const trial = await opened();
  const run = await trial.run({
    program: "hostile-tree.sh",
    files: { "how-many": isFull ? "20000" : "2000" },
  });
  const [, made] = /made (\d+)/.exec(run.output) ?? [];
  expect(run.outcome).toEqual({ kind: "succeeded", output: { exit_code: 0 } });
  expect(Number(made)).toBeGreaterThanOrEqual(30);
  expect(lstatSync(`${run.directory}/run.sh`).isSymbolicLink()).toBe(true);
  expect(() => lstatSync(`${run.directory}/device`)).toThrow("ENOENT");
  removeHostile(run.directory);
  expect(() => lstatSync(run.directory)).toThrow("ENOENT");
}, 60_000);

test("a second run does not follow a link that the first one put in place of its script", async () => {
  const trial = await opened();
  const first = await trial.run({ text: "rm run.sh; ln -s /etc/passwd run.sh" });
  const second = await trial.run({ directory: first.directory });
  expect(second.outcome).toMatchObject({
    kind: "failed",
    error: { code: "invalid", message: expect.stringContaining("is a link") },
  });
  expect(second.output).toBe("");
});
