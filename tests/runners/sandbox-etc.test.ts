import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bwrapArguments, etcShown, hasUsualEtc } from "../../src/runners/sandbox/bwrap-arguments.ts";
import { createEtcCopies, type EtcCopies } from "../../src/runners/sandbox/etc-copies.ts";
import { whenFileEnds } from "../support/ending.ts";
import { hasBwrap, openTrial } from "../support/script-trial.ts";
import { until } from "../support/until.ts";

describe("the copy of /etc", () => {
  test("holds what is shown as it is, ours beside it, and nothing else", async () => {
    const { etc, copies } = place();
    await copies.settled();
    const directory = copies.take()?.directory ?? "";
    expect(readdirSync(directory).sort()).toEqual(["alternatives", "localtime", "passwd", "ssl"]);
    expect(readlinkSync(join(directory, "alternatives/awk"))).toBe("/usr/bin/mawk");
    expect(readFileSync(join(directory, "ssl/certs/one.pem"), "utf8")).toBe("certificate");
    expect(statSync(join(directory, "ssl/certs/closed.pem")).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "ssl")).mode & 0o777).toBe(0o755);
    expect(readdirSync(join(directory, "ssl"))).toEqual(["certs"]);
    expect(readFileSync(join(directory, "localtime"), "utf8")).toBe(readFileSync(join(etc, "zone"), "utf8"));
    expect(readFileSync(join(directory, "passwd"), "utf8")).toBe("of our own\n");
  });

  test.each([
    ["a file that is written again", (etc: string) => writeFileSync(join(etc, "ssl/certs/one.pem"), "renewed")],
    ["a link that is set anew", (etc: string) => relink(join(etc, "alternatives/awk"), "/usr/bin/gawk")],
    ["a directory that comes", (etc: string) => mkdirSync(join(etc, "fonts"))],
    ["a link that leads elsewhere", (etc: string) => relink(join(etc, "localtime"), "passwd")],
  ])("is made again after %s, and the old one stays for those who have it", async (_what, change) => {
    const { etc, parent, copies } = place();
    await copies.settled();
    const first = copies.take();
    change(etc);
    const second = await nextCopy(copies, first?.directory);
    expect(existsSync(join(first?.directory ?? "", "passwd"))).toBe(true);
    first?.giveBack();
    first?.giveBack();
    await until("the old one is removed", () => readdirSync(parent).length === 1);
    expect(readdirSync(parent)).toEqual([second.slice(parent.length + 1)]);
  });

  test.each([
    ["more than a copy is good for", (etc: string) => truncateSync(join(etc, "ssl/certs/one.pem"), 40_000_000)],
    ["something that is no file", (etc: string) => Bun.spawnSync(["mkfifo", join(etc, "ssl/certs/pipe")])],
  ])("is done without where there is %s", async (_what, change) => {
    const { etc, parent } = place();
    change(etc);
    const copies = createEtcCopies(parent, { shown: etcShown, own: {}, etc });
    await copies.settled();
    expect(copies.take()).toBeNull();
  });
});

test("it is mounted at once where nothing further is to be seen below /etc", () => {
  const view = { bwrap: "bwrap", directory: "/data/1", environment: {}, readOnly: [], temporaryMb: 16, seccomp: 5 };
  const prepared = bwrapArguments({ ...view, network: false, etc: { directory: "/data/etc/1" } });
  expect(prepared.filter((word) => word.startsWith("/etc"))).toEqual(["/etc"]);
  expect(prepared.join(" ")).toContain("--ro-bind /data/etc/1 /etc");
  expect([hasUsualEtc(false, []), hasUsualEtc(false, ["/opt", "/etcetera"])]).toEqual([true, true]);
  expect([hasUsualEtc(true, []), hasUsualEtc(false, ["/opt/../etc/tool"])]).toEqual([false, false]);
});

describe.skipIf(!hasBwrap)("a script under bubblewrap", () => {
  const text = `find /etc -type f -o -type l | sort; cat /etc/passwd /etc/group /etc/localtime; find -L /etc -type f -readable -exec cksum {} + | sort; touch /etc/new /etc/passwd; id -un`;

  test("sees the same of /etc whether it is mounted at once or piece by piece", async () => {
    const trial = await openTrial();
    const byPieces = await openTrial({ readOnly: ["/etc/no-such-file"] });
    const isMountedAtOnce = async (of: typeof trial) =>
      (await of.run({ text: "grep -q ' /etc ro' /proc/self/mountinfo" })).outcome.kind === "succeeded";
    await until("the copy is there", () => isMountedAtOnce(trial));
    expect(await isMountedAtOnce(byPieces)).toBe(false);
    const [one, other] = [await trial.run({ text }), await byPieces.run({ text })];
    expect(one.outcome.kind).toBe("succeeded");
    expect(one.output).toContain("job:x:1000:1000");
    expect(one.output).toContain("Read-only file system");
    expect(one.output.replaceAll(/touch: .*/g, "")).toBe(other.output.replaceAll(/touch: .*/g, ""));
  });

  test("is shown a further path below /etc that was asked for", async () => {
    const name = ["/etc/hostname", "/etc/debian_version", "/etc/os-release", "/etc/issue"].find((path) =>
      existsSync(path),
    );
    const trial = await openTrial({ readOnly: name === undefined ? [] : [name] });
    const { output } = await trial.run({ text: `cat ${name ?? "/dev/null"}` });
    expect(output).toBe(name === undefined ? "" : readFileSync(name, "utf8"));
  });
});

/** A directory in the place of /etc, and copies of what is shown of it. */
function place() {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "fairlead-etc-")));
  whenFileEnds(async () => rmSync(root, { recursive: true, force: true }));
  const [etc, parent] = [join(root, "etc"), join(root, "copies")];
  for (const path of ["alternatives", "ssl/certs", "ssl/private"]) mkdirSync(join(etc, path), { recursive: true });
  mkdirSync(parent);
  symlinkSync("/usr/bin/mawk", join(etc, "alternatives/awk"));
  symlinkSync("zone", join(etc, "localtime"));
  const files = { zone: "UTC", passwd: "of the machine", shadow: "secret", "ssl/certs/one.pem": "certificate" };
  for (const [name, text] of Object.entries({ ...files, "ssl/certs/closed.pem": "closed", "ssl/private/key": "key" }))
    writeFileSync(join(etc, name), text);
  chmodSync(join(etc, "ssl/certs/closed.pem"), 0o600);
  return { etc, parent, copies: createEtcCopies(parent, { shown: etcShown, own: { passwd: "of our own\n" }, etc }) };
}

async function nextCopy(copies: EtcCopies, before: string | undefined): Promise<string> {
  let directory = before;
  await until("there is another copy", () => {
    const copy = copies.take();
    directory = copy?.directory;
    copy?.giveBack();
    return directory !== undefined && directory !== before;
  });
  return directory ?? "";
}

function relink(path: string, target: string): void {
  rmSync(path);
  symlinkSync(target, path);
}
