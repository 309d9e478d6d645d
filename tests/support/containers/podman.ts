import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { whenFileEnds } from "../ending.ts";
import { eventually, temporaryDirectory } from "./runner-of.ts";

/** Podman's service with storage of its own, and an image made from a folder. */
export type Podman = {
  dockerHost: string;
  socket: string;
  image: string;
  /** What `podman ps -a` lists, ids alone. */
  containers(): Promise<string[]>;
  /** Saves the image as an OCI layout. */
  save(directory: string): Promise<void>;
  restart(): Promise<void>;
  kill(): Promise<void>;
};

const busybox = "/bin/busybox";
const tools = ["sh", "nc", "cat", "head", "tr", "sleep", "kill", "false"];
const image = "localhost/fairlead-test:1";
const trial = [
  "--ulimit",
  "nofile=64:64",
  "--ulimit",
  "nproc=64:64",
  "--memory",
  "64m",
  "--publish",
  "127.0.0.1::3000",
];

/** Starts the engine; null, with the reason on stderr, where it cannot be had. `environment` is added to the engine's. */
export async function startPodman(environment: Record<string, string> = {}): Promise<Podman | null> {
  if (Bun.which("podman") === null || !existsSync(busybox)) return null;
  const directory = temporaryDirectory();
  const podman = engineAt(directory, environment);
  whenFileEnds(podman.end);
  try {
    await podman.restart();
    await importImage(podman.run, join(directory, "rootfs"));
    await podman.run(["run", "--rm", ...trial, image, "-c", "true"]);
    return podman;
  } catch (fault) {
    // No rights or no kernel support: the tests of a real engine are passed over.
    console.warn(`podman cannot be used here: ${fault instanceof Error ? fault.message : String(fault)}`);
    return null;
  }
}

function engineAt(directory: string, environment: Record<string, string>) {
  const socket = join(directory, "engine.sock");
  const runtime = ["/usr/sbin/runc", "/usr/bin/runc"].find((path) => existsSync(path));
  const base = [
    ...["podman", ...(runtime === undefined ? [] : ["--runtime", runtime])],
    ...["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"],
    ...["--root", join(directory, "root"), "--runroot", join(directory, "run"), "--tmpdir", join(directory, "tmp")],
  ];
  const env = { ...process.env, ...environment };
  let service: Subprocess | null = null;
  const run = async (args: string[], stdin?: Blob): Promise<string> => {
    const child = Bun.spawn([...base, ...args], { env, stdin: stdin ?? "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`podman ${args[0]}: ${err.trim()}`);
    return out.trim();
  };
  const kill = async () => {
    service?.kill("SIGKILL");
    await service?.exited;
    rmSync(socket, { force: true });
  };
  return {
    ...{ socket, image, run, kill, dockerHost: `unix://${socket}` },
    containers: async () => (await run(["ps", "-aq"])).split("\n").filter((id) => id !== ""),
    save: async (to: string) => void (await run(["save", "--format", "oci-dir", "-o", to, image])),
    restart: async () => {
      await kill();
      const args = ["system", "service", "--time=0", `unix://${socket}`];
      service = Bun.spawn([...base, ...args], { env, stdio: ["ignore", "ignore", "ignore"] });
      await eventually("podman's service", () => answersPing(socket));
    },
    end: async () => {
      await run(["rm", "--all", "--force", "--time", "0"]).catch((fault: unknown) => console.warn(String(fault)));
      await kill();
    },
  };
}

async function answersPing(unix: string): Promise<boolean> {
  try {
    return (await fetch("http://engine/_ping", { unix })).ok;
  } catch {
    // Not yet.
    return false;
  }
}

async function importImage(run: (args: string[], stdin?: Blob) => Promise<string>, rootfs: string): Promise<void> {
  for (const name of ["bin", "models", "tmp", "etc"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(busybox, join(rootfs, "bin", "busybox"));
  for (const name of tools) symlinkSync("busybox", join(rootfs, "bin", name));
  cpSync(join(import.meta.dir, "rootfs"), rootfs, { recursive: true });
  for (const name of ["serve.sh", "answer.sh"]) chmodSync(join(rootfs, name), 0o755);
  writeFileSync(join(rootfs, "etc", "passwd"), "root:x:0:0::/:/bin/sh\n");
  const tar = Bun.spawn(["tar", "-C", rootfs, "-c", "."], { stdout: "pipe", stderr: "ignore" });
  await run(["import", "--change", 'ENTRYPOINT ["/bin/sh"]', "-", image], await tar.stdout.blob());
}
