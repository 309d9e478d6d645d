import type { ActiveRun, Outcome, RunFacts, RunRequest, RunSink } from "../contract.ts";
import { createStopping, type Stopping } from "../sandbox/stopping.ts";
import { chainLeftMs, chainTimedOut } from "./chain-time.ts";
import { containerError } from "./container-error.ts";
import type { ContainerDefinition, ImageContainer, ServiceContainer } from "./definition.ts";
import { type ExecOptions, type ExecResult, runExec } from "./exec.ts";
import type { Images } from "./images.ts";
import { type Link, type LinkResult, readLink } from "./link.ts";
import { outcomeOf } from "./link-outcome.ts";
import type { ServiceClient } from "./service.ts";

export type LinkRooms = {
  find: (id: string) => ContainerDefinition | undefined;
  services: ServiceClient;
  images: Images;
  exec: ExecOptions;
};

/** `isChains` says that the time of the whole chain is over before the link's own. */
type Run = { request: RunRequest; sink: RunSink; stopping: Stopping; isChains: boolean };
type Ended = { outcome: Outcome; facts: RunFacts };

// A timer's longest delay; longer ones would fire at once.
const timerMsMax = 2_147_483_647;

/** Runs one link of a chain on its container, whatever kind that is, within the request's time. */
export function runLink(rooms: LinkRooms, request: RunRequest, sink: RunSink): ActiveRun {
  const stopping = createStopping();
  const startedAt = performance.now();
  const leftMs = chainLeftMs(request);
  if (leftMs <= 0)
    return { done: Promise.resolve({ outcome: chainTimedOut(request), facts: factsOf(null) }), stop: stopping.stop };
  const timer = setTimeout(() => stopping.stop("timed_out"), Math.min(request.timeoutMs, leftMs, timerMsMax));
  const done = perform(rooms, { request, sink, stopping, isChains: leftMs < request.timeoutMs })
    .catch((fault: unknown) => broken(rooms, request, fault))
    .then(({ outcome, facts }) => ({ outcome, facts: { ...facts, wallMs: performance.now() - startedAt } }))
    .finally(() => clearTimeout(timer));
  return { done, stop: stopping.stop };
}

async function perform(rooms: LinkRooms, run: Run): Promise<Ended> {
  const { request } = run;
  const { target } = request;
  const container = rooms.find(target);
  if (container === undefined) {
    const error = containerError(
      target,
      "is not in the containers file of this node: add it there, or correct the name",
    );
    return { outcome: { kind: "failed", error }, facts: factsOf(null) };
  }
  const link = readLink(request);
  const { result, facts } =
    container.kind === "exec"
      ? await runExec(rooms.exec, { ...run, container, link })
      : await call(rooms, { ...run, container, link });
  return { outcome: explained(outcomeOf(result, request), rooms.images, run), facts: facts ?? factsOf(container) };
}

/** Whose time was over; and why an image was not there in time says more than that it was not. */
function explained(outcome: Outcome, images: Images, { request, isChains }: Run): Outcome {
  if (outcome.kind !== "timed_out") return outcome;
  const timedOut = isChains ? chainTimedOut(request) : outcome;
  const state = images.get(request.target)?.state;
  if (state === undefined || !("reason" in state)) return timedOut;
  return { ...timedOut, message: `${timedOut.message}; ${state.reason}` };
}

type Call = Run & { container: ServiceContainer | ImageContainer; link: Link };

async function call(rooms: LinkRooms, { stopping, ...asked }: Call): Promise<ExecResult> {
  const controller = new AbortController();
  void stopping.asked.then(() => controller.abort());
  try {
    const result = await callOnce(rooms, asked, controller.signal);
    const stopped = stopping.reason();
    return { result: stopped === null ? result : { stopped }, facts: null };
  } catch (fault) {
    const stopped = stopping.reason();
    if (stopped === null) throw fault;
    return { result: { stopped }, facts: null };
  }
}

function callOnce(rooms: LinkRooms, asked: Omit<Call, "stopping">, signal: AbortSignal): Promise<LinkResult> {
  const { container, link, sink } = asked;
  const { id, bearer } = container;
  if (container.kind === "service") {
    return rooms.services.call({ id, bearer, url: container.url }, link, sink, signal);
  }
  const supervisor = rooms.images.get(id);
  if (supervisor === null) throw new Error(`there is no supervisor for the image of container "${id}"`);
  return supervisor.use({
    signal,
    report: (text) => sink.log("info", text),
    call: (url, either) => rooms.services.call({ id, url, bearer }, link, sink, either),
  });
}

function broken({ exec }: LinkRooms, request: RunRequest, fault: unknown): Ended {
  exec.log.error("container.fault", { container: request.target, job: request.jobId, run: request.runId, fault });
  const message = containerError(request.target, "the runner itself failed; the server's log says why").message;
  return { outcome: { kind: "failed", error: { code: "runner_error", message } }, facts: factsOf(null) };
}

function factsOf(container: ContainerDefinition | null): RunFacts {
  const isImage = container?.kind === "image";
  const memory = isImage && container.memoryMb !== null ? { memoryMb: container.memoryMb } : {};
  return {
    sandbox: container?.kind ?? "none",
    wallMs: 0,
    cpuMs: null,
    maxRssMb: null,
    exitCode: null,
    signal: null,
    limits: isImage ? { processes: container.processes, ...memory } : null,
  };
}
