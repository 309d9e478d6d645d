import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerRunnerOptions } from "../../src/runners/container/runner.ts";
import { begin, containerErrorOf, outputOf, runLinkOf } from "../support/containers/link-run.ts";
import { startPodman } from "../support/containers/podman.ts";
import { registryOver } from "../support/containers/registry.ts";
import { eventually, type OpenRunner, runnerOf, temporaryDirectory } from "../support/containers/runner-of.ts";

const layout = join(temporaryDirectory(), "layout");
const registry = registryOver(layout);
const registries = join(temporaryDirectory(), "registries.conf");
writeFileSync(registries, `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`);
const podman = await startPodman({ CONTAINERS_REGISTRIES_CONF: registries });

const timings = { backoffMinMs: 100, failuresMax: 2, stopGraceS: 5 };
const withinMs = 30_000;

function open(entry: Record<string, unknown>, given: Partial<ContainerRunnerOptions> = {}): OpenRunner {
  const model = { id: "model", image: podman?.image ?? "", command: "/serve.sh", start: "demand", ...entry };
  const { dockerHost } = podman ?? { dockerHost: "" };
  return runnerOf([model], { dockerHost, imageTimings: timings, ...given });
}

describe.skipIf(podman === null)("an image on a real engine", () => {
  afterAll(async () => {
    expect(await podman?.containers()).toEqual([]);
  });

  test("runs with its environment, volume and limits, answers links, and is gone after the end", async () => {
    const models = temporaryDirectory();
    writeFileSync(join(models, "weights"), "seven");
    const { runner } = open({
      ...{ env: { GREETING: "hello", PORT: 8_000 }, port: 8_000, volumes: [`${models}:/models:ro`] },
      limits: { memory_mb: 64, cpus: 1.5, processes: 50, open_files: 200 },
    });
    const output = outputOf(await runLinkOf(runner, "model", { text: "words" }));
    expect(output).toEqual({
      ...{ greeting: "hello", path: "/service_output", weights: "seven", openFiles: 200 },
      asked: { source: 1, destination: 1, data: { text: "words" }, requires_proof: false },
    });
    const calls = Array.from({ length: 10 }, async (_, n) => outputOf(await runLinkOf(runner, "model", { n })));
    expect(await Promise.all(calls)).toHaveLength(10);
    expect(await podman?.containers()).toHaveLength(1);
    await runner.close();
    expect(await podman?.containers()).toEqual([]);
  }, 30_000);

  test("is pulled from its registry when it is missing", async () => {
    await podman?.save(layout);
    const { runner } = open({ image: `${registry.host}/team/model:1`, env: { GREETING: "pulled" } });
    const done = await runLinkOf(runner, "model", {}, { timeoutMs: withinMs });
    expect(outputOf(done)).toMatchObject({ greeting: "pulled" });
    const lines = done.logs.map(([, text]) => text);
    expect(lines[0]).toStartWith(`pulling ${registry.host}/team/model:1: `);
    expect(lines.at(-1)).toBe(`starting ${registry.host}/team/model:1`);
    await runner.close();
  }, 30_000);

  test("that nobody has fails the link with the registry's reason", async () => {
    const { runner } = open({ image: `${registry.host}/team/none:1` });
    const message = containerErrorOf(await runLinkOf(runner, "model", {}, { timeoutMs: withinMs }));
    expect(message).toContain(`the image ${registry.host}/team/none:1 is not here and cannot be pulled (`);
  }, 30_000);

  test("that exits at once fails the link with its last lines, and does not flap for ever", async () => {
    const { runner } = open({ command: ["-c", "echo no weights >&2; exit 4"] });
    expect(containerErrorOf(await runLinkOf(runner, "model", {}))).toContain(
      "exited with 4; its last lines: no weights",
    );
    await eventually("the rest", () => runner.states()[0]?.state === "failed");
    expect(await podman?.containers()).toEqual([]);
  }, 30_000);

  test("that dies in the middle of a call fails that link and answers the next", async () => {
    const { runner } = open({});
    outputOf(await runLinkOf(runner, "model", {}));
    expect(containerErrorOf(await runLinkOf(runner, "model", "die"))).toBe(
      'container "model": exited with 9; its last lines: the model is broken (in the middle of the call)',
    );
    outputOf(await runLinkOf(runner, "model", {}));
    await runner.close();
  }, 30_000);

  test("that was left by a killed server is removed at the next start", async () => {
    const { runner, path, directory } = open({}, { node: "killed" });
    const script = join(import.meta.dir, "../support/containers/killed-server.ts");
    const args = [path, podman?.dockerHost ?? "", "killed", join(directory, "scratch")];
    const server = Bun.spawn([process.execPath, script, ...args], { stdout: "pipe", stderr: "inherit" });
    const { value } = await server.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("running\n");
    server.kill("SIGKILL");
    await server.exited;
    const [left] = (await podman?.containers()) ?? [];
    expect(left).toBeDefined();
    outputOf(await runLinkOf(runner, "model", {}));
    const now = await podman?.containers();
    expect(now).toHaveLength(1);
    expect(now).not.toContain(left);
    await runner.close();
  }, 30_000);

  test("stays in use while its engine is away, and is removed when that is back", async () => {
    const { runner } = open({});
    outputOf(await runLinkOf(runner, "model", {}));
    await podman?.kill();
    expect(existsSync(podman?.socket ?? "")).toBe(false);
    outputOf(await runLinkOf(runner, "model", {}));
    const cut = begin(runner, "model", "sleep");
    await podman?.restart();
    outputOf(await cut.done);
    expect(runner.states()[0]?.state).toBe("running");
    await runner.close();
  }, 30_000);
});
