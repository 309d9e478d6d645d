import { realpathSync } from "node:fs";
import { posix } from "node:path";
import type { Volume } from "./definition.ts";

const known = ["ro", "rw", "z", "Z"];
// Whoever writes below one of these changes the machine, or the engine that starts the containers.
const closedTrees = ["/proc", "/sys", "/dev", "/boot", "/run", "/var/run", "/var/lib/docker", "/var/lib/containers"];
const closedItself = ["/", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/var", "/var/lib", "/home", "/root"];
const engineSockets = ["docker.sock", "podman.sock", "containerd.sock", "crio.sock"];

/** `source:target[:options]` with an absolute source that is safe to hand out, or what is wrong with it. */
export function parseVolume(text: string): Volume | { problem: string } {
  const [source = "", target = "", options = "", ...rest] = text.split(":");
  if (rest.length > 0 || target === "") {
    return { problem: "must be `source:target` or `source:target:ro`, with absolute paths" };
  }
  if (!isPlainAbsolute(source)) {
    return {
      problem: `the source "${source}" must be an absolute path without "." and "..": named volumes are not used`,
    };
  }
  if (!isPlainAbsolute(target) || target === "/") {
    return { problem: `the target "${target}" must be an absolute path below /` };
  }
  const asked = options === "" ? [] : options.split(",");
  const unknown = asked.find((option) => !known.includes(option));
  if (unknown !== undefined) return { problem: `the option "${unknown}" must be one of ${known.join(", ")}` };
  const refusal = sourceRefusal(source) ?? sourceRefusal(resolved(source));
  return refusal === null ? { source, target, options: asked } : { problem: refusal };
}

function sourceRefusal(path: string): string | null {
  if (engineSockets.includes(posix.basename(path))) {
    return `the source "${path}" is an engine's socket: whoever has it is root on this machine`;
  }
  const closed =
    closedItself.includes(path) || closedTrees.some((tree) => path === tree || path.startsWith(`${tree}/`));
  return closed ? `the source "${path}" is part of the system: use a directory of its own` : null;
}

function isPlainAbsolute(path: string): boolean {
  return path.startsWith("/") && posix.normalize(path) === path && (path === "/" || !path.endsWith("/"));
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // A path that is not there yet has no links to follow; the engine says so when it starts the container.
    return path;
  }
}
