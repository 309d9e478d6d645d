import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Check } from "./app-doctor.ts";
import { type Config, isLocal, wholeEnvironment } from "./config.ts";
import { findChromium } from "./runners/automation/find-chromium.ts";
import { engineAddress } from "./runners/container/engine-address.ts";
import { engineRequest } from "./runners/container/engine-request.ts";
import { chooseSandbox } from "./runners/sandbox/choose.ts";

const programMs = 10_000;
const engineMs = 5_000;

/** What would isolate scripts here, found by trying, away from what a running service has. */
export async function checkSandbox(config: Config): Promise<Check> {
  // Where payloads are, so that reaching them is tried as well; a directory of its own, since the room of a service is cleared.
  const parent = existsSync(config.dataDir) ? config.dataDir : tmpdir();
  const dataDir = await mkdtemp(join(parent, "doctor-"));
  try {
    const [loopback, embedded] = [isLocal(config), config.databaseUrl === ""];
    const choice = await chooseSandbox({
      mode: config.sandbox,
      loopback,
      embedded,
      tag: `doctor-${process.pid}`,
      dataDir,
    });
    await choice.close();
    const { tier, description } = choice;
    if (tier === "bwrap") return { name: "sandbox", state: "ok", detail: description };
    const state = tier === "none" ? "warn" : "failed";
    return { name: "sandbox", state, detail: description, fix: sandboxFix };
  } catch (fault) {
    const detail = fault instanceof Error ? fault.message : String(fault);
    return { name: "sandbox", state: "failed", detail, fix: sandboxFix };
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const sandboxFix = "install bubblewrap (apt-get install bubblewrap) and allow unprivileged user namespaces";

/** Whether the browser for automations is there and starts. */
export async function checkChromium({ chromiumPath }: Config): Promise<Check> {
  const found = findChromium(chromiumPath, wholeEnvironment().PATH ?? "");
  if ("problem" in found) {
    const state = chromiumPath === "" ? "warn" : "failed";
    return { name: "chromium", state, detail: found.problem, fix: chromiumFix };
  }
  const child = Bun.spawn([found.path, "--version"], { stdout: "pipe", stderr: "ignore", timeout: programMs });
  const said = (await new Response(child.stdout).text()).trim();
  if ((await child.exited) === 0) return { name: "chromium", state: "ok", detail: `${said} (${found.path})` };
  const detail = `${found.path} does not start (exit ${child.exitCode ?? child.signalCode})`;
  return { name: "chromium", state: "failed", detail, fix: chromiumFix };
}

const chromiumFix = "install Chromium (apt-get install chromium), or set CHROMIUM_PATH; only automations need it";

/** Whether a container engine answers. */
export async function checkContainers({ dockerHost }: Config): Promise<Check> {
  try {
    const address = engineAddress(dockerHost);
    const { json } = await engineRequest(address, null)("GET", "/version", { timeoutMs: engineMs });
    const version = typeof json === "object" && json !== null && "Version" in json ? String(json.Version) : "";
    return { name: "containers", state: "ok", detail: `engine ${version} at ${address.shown}` };
  } catch (fault) {
    const detail = fault instanceof Error ? fault.message : String(fault);
    const fix = "start Docker or Podman, or set DOCKER_HOST; only containers with an image need it";
    return { name: "containers", state: dockerHost === "" ? "warn" : "failed", detail, fix };
  }
}
