import type { Subprocess } from "bun";
import { childCommand } from "../../carried.ts";

export type SpawnOptions = {
  /** What the process sees as its environment; nothing is added. */
  environment: Record<string, string>;
  /** Working directory of the functions. */
  cwd: string;
  onExit(exitCode: number | null, signal: string | null): void;
};

export type Child = {
  pid: number;
  stdout: ReadableStream<Uint8Array>;
  stderr: ReadableStream<Uint8Array>;
  /** Our ends of the two sockets; whoever wraps them closes them. */
  ordersFd: number;
  repliesFd: number;
};

/**
 * Starts a function process as the leader of its own group. `--no-orphans` ends it with the server, however either dies and
 * even while a function blocks it, and takes its own children along. No `.env` is read: it may hold the server's secrets.
 */
export function spawnChild({ environment, cwd, onExit }: SpawnOptions): Child {
  const start = childCommand("function", { flags: ["--no-orphans", "--no-env-file", "--no-install"] });
  const child: Subprocess<"ignore", "pipe", "pipe"> = Bun.spawn(start.command, {
    cwd,
    env: { ...environment, ...start.environment },
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "socket-fd", "socket-fd"],
    // It may be called before this function has returned.
    onExit: (_child, exitCode, signal) =>
      queueMicrotask(() => onExit(exitCode, signal === null ? null : String(signal))),
  });
  const [, , , ordersFd, repliesFd] = child.stdio as readonly (number | null)[];
  if (typeof ordersFd !== "number" || typeof repliesFd !== "number") throw new Error("no sockets to the process");
  return { pid: child.pid, stdout: child.stdout, stderr: child.stderr, ordersFd, repliesFd };
}
