import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const sidecar = resolve(import.meta.dir, "../../src/surfaces/andera/sidecar.ts");

test("tags and services see neither an .env nor a bunfig.toml of the server's working directory", async () => {
  const cwd = await mkdtemp(join(tmpdir(), "fairlead-sidecar-"));
  await Bun.write(join(cwd, ".env"), "AUTH_KEY=secret\n");
  await Bun.write(join(cwd, "bunfig.toml"), 'preload = ["./foreign.js"]\n');
  await Bun.write(join(cwd, "foreign.js"), "globalThis.foreign = true;\n");
  const tags =
    "export const tags = () => ({ key: process.env.AUTH_KEY ?? null, foreign: globalThis.foreign ?? false });";
  await Bun.write(join(cwd, "tags/place.ts"), tags);
  // Read as any environment: the process that starts the sidecar must not have seen the two files itself.
  const script = `
    const { startSidecar } = await import(${JSON.stringify(sidecar)});
    const environment = { PATH: process.env.PATH };
    const started = await startSidecar({ tagsDir: "tags", servicesDir: "services", environment, log: { warn() {} } });
    let tags = {};
    for (const until = Date.now() + 20_000; !("key" in tags) && Date.now() < until;) tags = await started.tags();
    console.log(JSON.stringify(tags));
    await started.stop();`;
  const child = Bun.spawn([process.execPath, "--no-env-file", "--config=/dev/null", "-e", script], {
    cwd,
    env: { PATH: process.env["PATH"] },
    stderr: "inherit",
  });
  expect(JSON.parse(await child.stdout.text())).toEqual({ key: null, foreign: false });
  await child.exited;
  await rm(cwd, { recursive: true });
}, 60_000);
