import { existsSync } from "node:fs";
import { isLoopback } from "./loopback.ts";

/** How to reach a container engine, and the host on which it publishes the ports of its containers. */
export type EngineAddress = {
  /** As it is shown in messages. */
  shown: string;
  socket: string | null;
  baseUrl: string;
  publishedOn: string;
  isLocal: boolean;
};

const dockerPort = "2375";

/** Where Docker and Podman listen unless told otherwise, rootless Podman last. */
export function defaultSockets(uid: number): string[] {
  return ["/var/run/docker.sock", "/run/podman/podman.sock", `/run/user/${uid}/podman/podman.sock`];
}

/** Reads `DOCKER_HOST`; empty takes the first default socket that is there. Throws with the fix when there is no way to an engine. */
export function engineAddress(dockerHost: string, sockets = defaultSockets(process.getuid?.() ?? 0)): EngineAddress {
  if (dockerHost === "") {
    const found = sockets.find((path) => existsSync(path));
    if (found !== undefined) return atSocket(found);
    throw new Error(
      `no container engine: there is no socket at ${sockets.join(", ")}. Start Docker or Podman, or set DOCKER_HOST`,
    );
  }
  if (dockerHost.startsWith("unix://")) return atSocket(dockerHost.slice("unix://".length));
  const url = URL.canParse(dockerHost) ? new URL(dockerHost.replace(/^tcp:/, "http:")) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "") {
    throw new Error(
      `DOCKER_HOST "${dockerHost}" cannot be used: write unix:///path, tcp://host:port or https://host:port`,
    );
  }
  const port = url.port || (url.protocol === "https:" ? "443" : dockerPort);
  const isLocal = isLoopback(url.hostname);
  const publishedOn = isLocal ? "127.0.0.1" : url.hostname;
  return { shown: dockerHost, socket: null, baseUrl: `${url.protocol}//${url.hostname}:${port}`, publishedOn, isLocal };
}

function atSocket(path: string): EngineAddress {
  return { shown: `unix://${path}`, socket: path, baseUrl: "http://engine", publishedOn: "127.0.0.1", isLocal: true };
}
