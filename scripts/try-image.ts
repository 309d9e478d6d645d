import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startEmbedded } from "../src/db/embedded.ts";
import { silentLog } from "../src/log.ts";
import { type ImageRoot, ImageRoots, sizeMb } from "./image-root.ts";
import { Podman } from "./podman.ts";

/**
 * Builds the image of the Dockerfile without an image engine, and tries it: `bun scripts/try-image.ts [--target chromium] [--directory DIR]`.
 * Its steps run in containers of Podman on a Debian root made by debootstrap. Then the service starts as its ordinary user on a Postgres of
 * its own and does a function and a script, once where user namespaces are forbidden, as in Docker, and once where they are allowed; SIGTERM
 * has to end it with 0. Needs root, podman, runc or crun, debootstrap, and the registries of Debian and npm. With `--directory` what was
 * made is kept, and Debian's part used again. Takes about three minutes, at most twenty.
 */
const { values } = parseArgs({
  options: { target: { type: "string", default: "fairlead" }, directory: { type: "string" } },
});
const repository = resolve(import.meta.dir, "..");
const timeLimitMs = 20 * 60_000;
const readyWithinMs = 60_000;
const directory =
  values.directory === undefined ? mkdtempSync(join(tmpdir(), "fairlead-image-")) : resolve(values.directory);
mkdirSync(directory, { recursive: true });
setTimeout(() => {
  console.error(`Not done after ${timeLimitMs / 60_000} minutes`);
  process.exit(1);
}, timeLimitMs).unref();

/** What Docker's own profile does about namespaces: mount, cgroup, uts, ipc, user, pid and net. */
const namespaceFlags = [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
const refused = (names: string[], errnoRet: number, args: object[] = []) => ({
  ...{ names, action: "SCMP_ACT_ERRNO", errnoRet },
  ...(args.length === 0 ? {} : { args }),
});
const withoutNamespaces = {
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [
    refused(["unshare", "setns", "mount", "pivot_root"], 1),
    // "No such call", so that programs take the older one.
    refused(["clone3"], 38),
    ...namespaceFlags.map((flag) =>
      refused(["clone"], 1, [{ index: 0, value: flag, valueTwo: flag, op: "SCMP_CMP_MASKED_EQ" }]),
    ),
  ],
};

/** A script that tells who it is and uses the image's Bun; what it says is shown, since it may be refused. */
const scriptJob = [
  "cd /tmp",
  `printf 'id -u\nbun -e "console.log(6 * 7)"\n' > run.sh`,
  "fairlead run run.sh 2>&1 | tr '\n' ' '",
].join(" && ");

const person = '{"email":["alice@example.com"],"full_name":["Alice Doe"]}';
const browserJob = `fairlead submit --automation sign-up --input '${person}' --wait 2>&1 | tr '\\n' ' '`;

const podman = new Podman(directory);
const socketDir = join(directory, "postgres-socket");
try {
  const dockerfile = await Bun.file(join(repository, "Dockerfile")).text();
  const roots = new ImageRoots(dockerfile, { directory, podman, say: (line) => console.log(line) });
  const image = await roots.build(values.target);
  console.log(
    `\n${values.target}: ${await sizeMb(image.directory)} MB, of which the executable has ${await executableMb(image)}`,
  );
  await onPostgres(async () => {
    const forbidden = join(directory, "seccomp.json");
    writeFileSync(forbidden, JSON.stringify(withoutNamespaces));
    console.log(await podman.run(image.directory, [...image.config.entrypoint, "migrate"], optionsOf(image, [])));
    await tryService(image, "user namespaces forbidden", [`seccomp=${forbidden}`]);
    await tryService(image, "the same with SANDBOX=none", [`seccomp=${forbidden}`], { SANDBOX: "none" });
    await tryService(image, "user namespaces allowed", ["seccomp=unconfined", "unmask=ALL"]);
  });
} finally {
  if (values.directory === undefined) rmSync(directory, { recursive: true, force: true });
}
process.exit(0);

async function tryService(
  image: ImageRoot,
  title: string,
  securityOptions: string[],
  environment: Record<string, string> = {},
): Promise<void> {
  const name = `fairlead-${process.pid}`;
  const command = [...image.config.entrypoint, ...image.config.command];
  const inside = (...words: string[]) => podman.call(["exec", name, ...words]);
  console.log(`\n${title}`);
  await podman.start(name, image.directory, command, optionsOf(image, securityOptions, environment));
  try {
    await untilReady(name);
    console.log(`  runs as ${await inside("id", "-un")}, below ${(await inside("cat", "/proc/1/comm")).trim()}`);
    console.log(`  function: ${await inside("fairlead", "submit", "hello", "--input", '{"name":"Ada"}', "--wait")}`);
    console.log(`  script:   ${await inside("sh", "-c", scriptJob)}`);
    if (existsSync(join(image.directory, "usr/bin/chromium"))) {
      console.log(`  browser:  ${await inside("sh", "-c", browserJob)}`);
    }
    console.log(`  ready:    ${(await logLine(name, "ready")).replace(/^.*"sandbox":"([^"]*)".*$/, "$1")}`);
    await podman.call(["stop", "--time", "60", name]);
    const code = await podman.call(["inspect", "--format", "{{.State.ExitCode}}", name]);
    if (code !== "0") throw new Error(`it ended with ${code} after SIGTERM: ${await podman.logs(name)}`);
    console.log("  SIGTERM:  exit 0");
  } finally {
    await podman.call(["rm", "--force", "--time", "0", name]);
  }
}

async function untilReady(name: string): Promise<void> {
  for (const deadline = Date.now() + readyWithinMs; ; await Bun.sleep(250)) {
    if ((await logLine(name, "ready")) !== "") return;
    if (Date.now() > deadline) throw new Error(`not ready in time: ${await podman.logs(name)}`);
  }
}

async function logLine(name: string, event: string): Promise<string> {
  const lines = (await podman.logs(name)).split("\n");
  return lines.find((line) => line.includes(`"event":"${event}"`)) ?? "";
}

function optionsOf({ config }: ImageRoot, securityOptions: string[], more: Record<string, string> = {}) {
  const url = "postgres://fairlead@localhost/fairlead?host=/run/postgres";
  return {
    environment: { ...config.environment, DATABASE_URL: url, AUTH_KEY: "a-key-for-the-trial", ...more },
    workdir: config.workdir,
    user: config.user,
    volumes: [`${socketDir}:/run/postgres`],
    securityOptions,
  };
}

async function executableMb({ directory: root }: ImageRoot): Promise<string> {
  return `${await sizeMb(join(root, "usr/local/bin/fairlead"))} MB`;
}

/** The embedded Postgres lets in its own user alone: containers reach it through a socket of this process. */
async function onPostgres(work: () => Promise<void>): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "fairlead-image-postgres-"));
  const embedded = await startEmbedded({ dataDir, log: silentLog(), tune: "test" });
  rmSync(socketDir, { recursive: true, force: true });
  mkdirSync(socketDir, { mode: 0o755 });
  const relay = createServer((caller) => {
    const postgres = connect(join(embedded.host, ".s.PGSQL.5432"));
    const end = () => {
      caller.destroy();
      postgres.destroy();
    };
    for (const socket of [caller, postgres]) socket.on("error", end).on("close", end);
    caller.pipe(postgres).pipe(caller);
  });
  const path = join(socketDir, ".s.PGSQL.5432");
  await new Promise<void>((done) => relay.listen({ path, readableAll: true, writableAll: true }, done));
  try {
    await work();
  } finally {
    relay.close();
    await embedded.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
