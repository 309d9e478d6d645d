import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { FileLock } from "../src/db/embeddedLock.ts";
import { placeOf } from "../src/db/embeddedPlace.ts";
import { inspect, readPostmaster, stopPostmaster } from "../src/db/embeddedPostmaster.ts";
import { clusterPrefix, clusterVariable, openCluster, prepareTemplate } from "../tests/support/cluster.ts";

/**
 * Runs the tests, all or those of the paths given, on one Postgres that lives as long as the run. The last line is
 * `N passed, N failed`. After a failure the databases stay for a look, until the next run.
 */
const repository = resolve(import.meta.dir, "..");
const testTimeoutMs = 60_000;
const stopPatienceMs = 10_000;
const keptCharsMax = 4_096;
/** More than these are not shaken by their neighbours. */
const filesAgainMax = 12;
/** Tests wait more than they compute; with fewer files at once the cores idle, with more the timing tests suffer. */
const filesAtOnce = Math.min(availableParallelism() + 1, 8);

type Count = { passed: number; failed: number; skipped: number };

process.exit(await main());

async function main(): Promise<number> {
  const count = await runAll().catch((fault: unknown): Count => {
    console.error(`The tests cannot run: ${fault instanceof Error ? fault.message : String(fault)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  });
  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
  console.log(`${count.passed} passed, ${count.failed} failed${skipped}`);
  return count.failed > 0 || count.passed === 0 ? 1 : 0;
}

async function runAll(): Promise<Count> {
  await removeAbandoned();
  const dataDir = mkdtempSync(`${clusterPrefix()}-run-`);
  let isKept = false;
  try {
    Bun.spawnSync(["chmod", "711", dataDir]);
    const cluster = await openCluster(dataDir);
    try {
      await prepareTemplate(cluster);
      const count = await runFiles(JSON.stringify(cluster.address), dataDir);
      isKept = count.failed > 0 && !process.env.CI;
      return count;
    } finally {
      await cluster.stop();
    }
  } finally {
    if (isKept) console.error(`\nTo look at the databases of this run: bun tests/support/holdPostgres.ts ${dataDir}`);
    else rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Postgres and files of runs that were killed or failed, and that no process holds any more. */
async function removeAbandoned(): Promise<void> {
  const prefix = `${basename(clusterPrefix())}-run-`;
  for (const name of readdirSync(dirname(clusterPrefix()))) {
    if (!name.startsWith(prefix)) continue;
    const place = placeOf(join(dirname(clusterPrefix()), name));
    if (await isGivenUp(place)) rmSync(place.dataDir, { recursive: true, force: true });
  }
}

async function isGivenUp({ holdersFile, clusterDir }: ReturnType<typeof placeOf>): Promise<boolean> {
  if (!(await Bun.file(holdersFile).exists())) return true;
  const lock = new FileLock(holdersFile);
  try {
    if (!lock.tryExclusive()) return false;
    const running = readPostmaster(clusterDir);
    if (running && inspect(running.pid, clusterDir) === "postmaster") await stopPostmaster(running.pid, stopPatienceMs);
    return true;
  } finally {
    lock.release();
  }
}

/** On the gate, files in which a test failed beside the others run once more, one after another; by hand they do not. */
async function runFiles(address: string, dataDir: string): Promise<Count> {
  const report = join(dataDir, "report.xml");
  const paths = process.argv.slice(2);
  const reporting = ["--reporter=junit", `--reporter-outfile=${report}`];
  const first = await runBunTest(address, [
    `--parallel=${filesAtOnce}`,
    ...(process.env["CI"] ? reporting : []),
    ...paths,
  ]);
  if (!process.env["CI"] || first.failed === 0) return first;
  const { files, tests } = failedIn(
    await Bun.file(report)
      .text()
      .catch(() => ""),
  );
  if (tests !== first.failed || files.length > filesAgainMax) return first;
  console.log(`\n${tests} failed beside others; alone once more: ${files.join(" ")}`);
  let failed = 0;
  for (const file of files) failed += (await runBunTest(address, [`./${file}`])).failed;
  console.log(`\nAlone, ${failed} of the ${tests} failed.`);
  return { ...first, passed: first.passed + Math.max(0, tests - failed), failed };
}

/** What failed by the report: how many tests, in which files. What the report leaves out, files that do not load, makes the counts differ. */
function failedIn(report: string): { files: string[]; tests: number } {
  const failed = [...report.matchAll(/<testcase [^>]*\bfile="([^"]*)"[^>]*[^/]>\s*<failure\b/g)];
  return { files: [...new Set(failed.map(([, file]) => file ?? ""))], tests: failed.length };
}

async function runBunTest(address: string, asked: string[]): Promise<Count> {
  const color = process.stdout.isTTY ? { FORCE_COLOR: "1" } : {};
  const child = Bun.spawn([process.execPath, "test", `--timeout=${testTimeoutMs}`, ...asked], {
    cwd: repository,
    env: { ...process.env, ...color, [clusterVariable]: address },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  const [, said] = await Promise.all([pass(child.stdout, process.stdout), pass(child.stderr, process.stderr)]);
  return readCount(said, await child.exited);
}

/** Hands on what comes, and returns the end of it. */
async function pass(from: ReadableStream<Uint8Array>, to: NodeJS.WriteStream): Promise<string> {
  const decoder = new TextDecoder();
  let kept = "";
  for await (const chunk of from) {
    to.write(chunk);
    kept = (kept + decoder.decode(chunk, { stream: true })).slice(-keptCharsMax);
  }
  return kept;
}

/** Bun's own summary counts files that do not load and workers that crash, which its junit report leaves out. */
function readCount(said: string, exitCode: number): Count {
  const summary = Bun.stripANSI(said).split("\n").slice(-12).join("\n");
  const number = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}s?$`, "m").exec(summary)?.[1] ?? 0);
  const failed = Math.max(number("fail"), number("error"), exitCode === 0 ? 0 : 1);
  const isWhole = /^Ran \d+ tests? across \d+ files?/m.test(summary);
  return {
    passed: number("pass"),
    failed: isWhole ? failed : Math.max(failed, 1),
    skipped: number("skip") + number("todo"),
  };
}
