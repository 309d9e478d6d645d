import type { Problem } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { Runner } from "../contract.ts";
import type { Limits } from "../limits.ts";
import { type ContainersFile, openContainersFile } from "./containers-file.ts";
import type { ContainerDefinition } from "./definition.ts";
import type { ExecOptions } from "./exec.ts";
import { abandonedScratch } from "./exec-scratch.ts";
import type { ImageTimings } from "./image-state.ts";
import { createImages, type Images } from "./images.ts";
import { runLink } from "./run-link.ts";
import { createServiceClient } from "./service.ts";

/** A container as `/info` shows it. */
export type ContainerSummary = { id: string; description: string; external: boolean; image: string };

/** What an image is doing on this node; `reason` is why it last ended or could not start. */
export type ContainerState = { id: string; state: string; reason: string | null };

/** Runs links of chains. The containers are those of the file as it is now; its last good state when it is broken. */
export type ContainerRunner = Runner & {
  readonly name: "container";
  /** In the order of the file. */
  list(): ContainerSummary[];
  get(id: string): ContainerDefinition | null;
  /** What is wrong with the file since it was last good; empty when nothing is. */
  problems(): Problem[];
  /** Of the images alone. */
  states(): ContainerState[];
  /** Where a container listens now; null for commands, and for images that do not run. */
  serviceAt(id: string): { id: string; url: string; bearer: string | null } | null;
};

export type ContainerRunnerOptions = {
  /** `CONTAINERS_FILE`. */
  path: string;
  /** Name of the node: images it has started are found by it after a crash, so no other live node may have it. */
  node: string;
  /** `DOCKER_HOST`. */
  dockerHost: string;
  /** For `exec` containers; the tier that was chosen for scripts. */
  sandbox: ExecOptions["sandbox"];
  /** Below the data directory and for this runner alone. */
  scratchDir: string;
  /** The most that an `exec` container may have. */
  limits: Limits;
  removeTree: ExecOptions["removeTree"];
  log: Log;
  /** Between TERM and KILL of a command. */
  graceMs?: number;
  /** Of one answer, after decompression. */
  answerBytesMax?: number;
  /** How often the file is looked at. */
  pollMs?: number;
  imageTimings?: Partial<ImageTimings>;
};

const answerBytesDefault = 10 * 1_048_576;
const graceMsDefault = 2_000;
const retireMs = 180_000;

/**
 * Opens the containers file and starts the images that begin with the server. Throws `EngineError("invalid")` with every problem
 * when the file is broken. A run's `options` are `{ requiresProof?, stream?, source? }`, its output the container's.
 */
export function createContainerRunner(options: ContainerRunnerOptions): ContainerRunner {
  const answerBytesMax = options.answerBytesMax ?? answerBytesDefault;
  const services = createServiceClient({ bytesMax: answerBytesMax });
  const images = createImages({ ...options, retireMs, timings: options.imageTimings ?? {} });
  const file = openContainersFile({
    path: options.path,
    log: options.log,
    onChange: images.update,
    ...(options.pollMs === undefined ? {} : { pollMs: options.pollMs }),
  });
  const exec: ExecOptions = { ...options, answerBytesMax, graceMs: options.graceMs ?? graceMsDefault };
  const cleaned = removeAbandoned(exec);
  images.update(file.current());
  return {
    name: "container",
    list: () => [...file.current().values()].map(summaryOf),
    get: (id) => file.current().get(id) ?? null,
    problems: file.problems,
    states: () => statesOf(file, images),
    serviceAt: (id) => serviceAt(file, images, id),
    start: (request, sink) => runLink({ find: (id) => file.current().get(id), services, images, exec }, request, sink),
    close: async () => {
      file.close();
      services.close();
      await Promise.all([images.close(), cleaned]);
    },
  };
}

function summaryOf({ id, description, external, image }: ContainerDefinition): ContainerSummary {
  return { id, description, external, image };
}

function statesOf(file: ContainersFile, images: Images): ContainerState[] {
  return [...file.current().keys()].flatMap((id) => {
    const state = images.get(id)?.state;
    return state === undefined ? [] : [{ id, state: state.kind, reason: "reason" in state ? state.reason : null }];
  });
}

function serviceAt(file: ContainersFile, images: Images, id: string): ReturnType<ContainerRunner["serviceAt"]> {
  const container = file.current().get(id);
  if (container === undefined || container.kind === "exec") return null;
  const { bearer } = container;
  if (container.kind === "service") return { id, url: container.url, bearer };
  const state = images.get(id)?.state;
  return state?.kind === "running" ? { id, url: state.running.url, bearer } : null;
}

async function removeAbandoned({ scratchDir, removeTree, log }: ExecOptions): Promise<void> {
  for (const directory of abandonedScratch(scratchDir)) {
    try {
      await removeTree(directory);
    } catch (fault) {
      log.warn("container.scratch_left", { directory, fault });
    }
  }
}
