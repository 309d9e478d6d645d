import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Makes the checkout ready to run. Does nothing, in a few milliseconds, when it is. Nothing from npm may be imported here. */
const repository = resolve(import.meta.dir, "..");
const lockHash = createHash("sha256")
  .update(readFileSync(join(repository, "bun.lock")))
  .digest("hex");
const stamp = join(repository, "node_modules/.installed");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lockHash) {
  install();
  writeFileSync(stamp, lockHash);
}

/** With this very Bun: there may be none on the path. Ends the process when it fails, since nothing can run then. */
function install(): void {
  console.error("Installing packages…");
  const { exitCode } = Bun.spawnSync([process.execPath, "install", "--frozen-lockfile", "--no-progress"], {
    cwd: repository,
    stdin: "ignore",
    stdout: process.stderr.fd,
    stderr: "inherit",
  });
  if (exitCode === 0) return;
  console.error("The packages could not be installed. The npm registry must be reachable: see the error above.");
  process.exit(exitCode ?? 1);
}
