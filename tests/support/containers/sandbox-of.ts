import { chmodSync } from "node:fs";
import { join } from "node:path";
import { chooseSandbox, type SandboxChoice, type SandboxMode } from "../../../src/runners/sandbox/choose.ts";
import { whenFileEnds } from "../ending.ts";
import { temporaryDirectory } from "./runner-of.ts";

export type OpenSandbox = { choice: SandboxChoice; dataDir: string; scratchDir: string };

/** The sandbox of this machine, with a data directory of its own, closed when the test file ends. Null where the tier cannot be had. */
export async function sandboxOf(mode: SandboxMode): Promise<OpenSandbox | null> {
  const dataDir = temporaryDirectory();
  chmodSync(dataDir, 0o755);
  const tag = `containers-${process.pid}-${mode}`;
  try {
    const choice = await chooseSandbox({ mode, loopback: true, embedded: true, tag, dataDir });
    whenFileEnds(() => choice.close());
    return { choice, dataDir, scratchDir: join(dataDir, "containers") };
  } catch {
    // The tier is not to be had on this machine; its tests are passed over.
    return null;
  }
}
