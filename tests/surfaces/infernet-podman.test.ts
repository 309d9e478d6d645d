import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startPodman } from "../support/containers/podman.ts";
import { temporaryDirectory } from "../support/containers/runner-of.ts";
import { type Service, startService } from "../support/service.ts";
import { type NodeClient, nodeClient } from "./support/node-client.ts";
import { type TrailContainer, trailContainer } from "./support/trail-container.ts";

const podman = await startPodman();
const withinMs = 60_000;

describe.skipIf(podman === null)("a chain with an image on a real engine in the middle", () => {
  let service: Service;
  let client: NodeClient;
  let container: TrailContainer;

  beforeAll(async () => {
    container = trailContainer();
    const path = join(temporaryDirectory(), "containers.json");
    const image = { image: podman?.image, command: "/serve.sh", external: false, start: "demand" };
    await Bun.write(
      path,
      JSON.stringify([
        { id: "before", url: container.url("before") },
        { ...image, id: "model", env: { GREETING: "hello" } },
        { id: "count", exec: ["/usr/bin/wc", "-c"], external: false },
      ]),
    );
    const environment = { CONTAINERS_FILE: path, DOCKER_HOST: podman?.dockerHost ?? "", SURFACES: "api,infernet" };
    service = await startService(environment);
    client = nodeClient(service.url);
  }, withinMs);
  afterAll(async () => {
    await service.stop();
    await container.close();
    expect(await podman?.containers()).toEqual([]);
  }, withinMs);

  const stateOf = async () => {
    const { containers } = (await (await service.call("/api/v1/containers")).json()) as {
      containers: { id: string; state: string | null }[];
    };
    return containers.find(({ id }) => id === "model")?.state;
  };

  test(
    "hands a service's output to the image and its answer on to a command",
    async () => {
      expect(await stateOf()).toBe("idle");
      const id = await client.requestJob({ containers: ["before", "model", "count"], data: { mark: "m" } });
      const result = await client.resultSync(id, 300, 100);
      const [before, model] = result?.intermediate_results ?? [];
      expect(before?.output).toEqual({ mark: "m", trail: ["before"] });
      expect(model?.output).toMatchObject({ greeting: "hello", asked: { data: { mark: "m", trail: ["before"] } } });
      expect(result).toMatchObject({ status: "success", result: { container: "count", output: expect.any(Number) } });
      expect(await stateOf()).toBe("running");
      expect(await podman?.containers()).toHaveLength(1);
    },
    withinMs,
  );

  test(
    "fails with the image's id when it dies in the middle, and works again in the next chain",
    async () => {
      const dying = await client.requestJob({ containers: ["before", "model"], data: { mark: "die" } });
      const result = await client.resultSync(dying, 300, 100);
      expect(result).toMatchObject({ status: "failed", result: { container: "model" } });
      expect(result?.result?.error).toContain("the model is broken");
      expect(result?.intermediate_results).toHaveLength(1);
      const next = await client.requestJob({ containers: ["before", "model"], data: { mark: "well" } });
      expect(await client.resultSync(next, 300, 100)).toMatchObject({ status: "success" });
    },
    withinMs,
  );
});
