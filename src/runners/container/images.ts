import type { Log } from "../../log.ts";
import type { ContainerDefinition, ImageContainer } from "./definition.ts";
import { createEngineApi, type EngineApi } from "./engine-api.ts";
import { engineAddress } from "./engine-address.ts";
import { nodeLabel } from "./image-body.ts";
import { type ImageTimings, imageTimings } from "./image-state.ts";
import { ImageSupervisor } from "./image-supervisor.ts";

/** The images of this node, each with its supervisor. */
export type Images = {
  /** Takes over the entries of the file: unchanged ones keep running, changed and removed ones end after the calls in flight. */
  update(containers: ReadonlyMap<string, ContainerDefinition>): void;
  get(id: string): ImageSupervisor | null;
  close(): Promise<void>;
};

export type ImagesOptions = {
  node: string;
  /** `DOCKER_HOST`; empty for the default sockets. */
  dockerHost: string;
  log: Log;
  /** What calls in flight may still take when their entry is changed. */
  retireMs: number;
  timings?: Partial<ImageTimings>;
};

export function createImages(options: ImagesOptions): Images {
  const supervisors = new Map<string, ImageSupervisor>();
  const retiring = new Set<Promise<void>>();
  const life = new AbortController();
  const engine = engineOpener(options, life.signal);
  const timings = { ...imageTimings, ...options.timings };
  const retire = (supervisor: ImageSupervisor) => {
    const ended = supervisor.retire(options.retireMs).finally(() => retiring.delete(ended));
    retiring.add(ended);
  };
  const begin = (image: ImageContainer) => {
    const supervisor = new ImageSupervisor({ image, engine, timings, node: options.node, log: options.log });
    supervisors.set(image.id, supervisor);
    if (image.start === "boot") supervisor.begin();
  };
  return {
    get: (id) => supervisors.get(id) ?? null,
    update: (containers) => {
      for (const [id, supervisor] of supervisors) {
        if (Bun.deepEquals(containers.get(id), supervisor.options.image)) continue;
        supervisors.delete(id);
        retire(supervisor);
      }
      for (const container of containers.values()) {
        if (container.kind === "image" && !supervisors.has(container.id)) begin(container);
      }
    },
    close: async () => {
      const closed = [...supervisors.values()].map((supervisor) => supervisor.close());
      // Only now: a supervisor that does not know that it is being closed would take this for a missing engine.
      life.abort();
      await Promise.all([...closed, ...retiring]);
    },
  };
}

/** Opens the engine when it is first needed, and again as long as it fails; removes what an earlier server of this node left first. */
function engineOpener({ dockerHost, node, log }: ImagesOptions, life: AbortSignal): () => Promise<EngineApi> {
  let opened: Promise<EngineApi> | null = null;
  const open = async () => {
    const engine = createEngineApi(engineAddress(dockerHost), life);
    const leftovers = await engine.labelled(`${nodeLabel}=${node}`);
    await Promise.all(leftovers.map((id) => engine.remove(id, 0)));
    if (leftovers.length > 0) log.info("container.leftovers_removed", { count: leftovers.length });
    if (!engine.address.isLocal) {
      log.warn("container.engine_remote", { engine: engine.address.shown, ports: "published on all its addresses" });
    }
    return engine;
  };
  return () => {
    opened ??= open().catch((fault: unknown) => {
      opened = null;
      throw fault;
    });
    return opened;
  };
}
