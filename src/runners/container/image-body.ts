import { existsSync, readFileSync } from "node:fs";
import type { ImageContainer } from "./definition.ts";
import type { EngineAddress } from "./engine-address.ts";

/** Which node started a container: what its leftovers are found by. */
export const nodeLabel = "fairlead.node";
const containerLabel = "fairlead.container";

const bytesPerMb = 1_048_576;
const nanosPerCpu = 1_000_000_000;

/**
 * The body of `POST /containers/create` for an entry: its port published on a free one of loopback alone, limits spelled out, no new
 * privileges, a log that cannot fill the disk. Throws with the fix when a volume cannot be mounted.
 */
export function imageBody(image: ImageContainer, node: string, address: EngineAddress): Record<string, unknown> {
  const port = `${image.port}/tcp`;
  return {
    Image: image.image,
    ...(image.command.length === 0 ? {} : { Cmd: image.command }),
    Env: Object.entries(image.env).map(([name, value]) => `${name}=${value}`),
    Labels: { [nodeLabel]: node, [containerLabel]: image.id },
    ExposedPorts: { [port]: {} },
    HostConfig: {
      PortBindings: { [port]: [{ HostIp: address.isLocal ? "127.0.0.1" : "", HostPort: "" }] },
      Binds: image.volumes.map((volume) => bind(volume, address)),
      SecurityOpt: ["no-new-privileges"],
      PidsLimit: image.processes,
      Ulimits: ulimits(image),
      LogConfig: { Type: "json-file", Config: { "max-size": "10m" } },
      ...(image.memoryMb === null
        ? {}
        : { Memory: image.memoryMb * bytesPerMb, MemorySwap: image.memoryMb * bytesPerMb }),
      ...(image.cpus === null ? {} : { NanoCpus: Math.round(image.cpus * nanosPerCpu) }),
      ...(image.gpu ? { DeviceRequests: [{ Driver: "nvidia", Count: -1, Capabilities: [["gpu"]] }] } : {}),
    },
  };
}

function bind(volume: ImageContainer["volumes"][number], { socket, isLocal }: EngineAddress): string {
  const { source, target, options } = volume;
  if (socket !== null && (socket === source || socket.startsWith(`${source}/`))) {
    throw new Error(`the volume ${source} would hand out the engine's socket ${socket}: mount another directory`);
  }
  // Docker would make an empty directory that belongs to root in its place.
  if (isLocal && !existsSync(source))
    throw new Error(`the volume ${source} is not there: make it, or correct \`volumes\``);
  return [source, target, ...(options.length === 0 ? [] : [options.join(",")])].join(":");
}

/** An engine refuses to start what asks for more than it may give, so the limits of this process are the most that is asked for. */
function ulimits(image: ImageContainer) {
  const own = ownLimits();
  return [
    { Name: "nofile", value: Math.min(image.openFiles, own.openFiles) },
    { Name: "nproc", value: Math.min(image.processes, own.processes) },
  ].map(({ Name, value }) => ({ Name, Soft: value, Hard: value }));
}

function ownLimits(): { openFiles: number; processes: number } {
  const path = "/proc/self/limits";
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const hard = (name: string) => {
    const value = Number(new RegExp(`^${name} +\\S+ +(\\S+)`, "m").exec(text)?.[1]);
    return Number.isFinite(value) ? value : Number.MAX_SAFE_INTEGER;
  };
  return { openFiles: hard("Max open files"), processes: hard("Max processes") };
}
