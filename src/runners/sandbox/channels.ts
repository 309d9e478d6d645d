import { closeSync, constants, mkdirSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/**
 * One channel for a command's output: our end never blocks, the other is an ordinary pipe. A pipe and not a file,
 * because `echo … > /dev/stderr` in a script would cut a file to nothing and a flood would fill the disk; a named one,
 * because Bun's own pipes are sockets, which `/dev/stdout` cannot open (oven-sh/bun 43091).
 */
export type OutputChannel = {
  readonly reader: number;
  readonly writer: number;
  /** Once the command has its copy, so that our own does not outlive it. */
  closeWriter(): void;
  close(): void;
};

/** Makes channels; names are made many at a time, since each costs a process otherwise. */
export type ChannelStock = {
  take(): Promise<OutputChannel>;
};

const madeAtOnce = 32;
/** The account of a run may open its output again for writing (`> /dev/stdout`), never for reading, and not change it. */
const modeAsRoot = "0622";
const modeAsOwner = "0600";

export function createChannelStock(directory: string): ChannelStock {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const ready: string[] = [];
  let making: Promise<void> | null = null;
  let made = 0;
  const make = async () => {
    const paths = Array.from({ length: madeAtOnce }, () => join(directory, `output-${process.pid}-${++made}`));
    const mode = process.getuid?.() === 0 ? modeAsRoot : modeAsOwner;
    const child = Bun.spawn(["mkfifo", "-m", mode, ...paths], { stdio: ["ignore", "ignore", "pipe"] });
    const [code, reason] = await Promise.all([child.exited, new Response(child.stderr).text()]);
    if (code !== 0) throw new Error(`mkfifo: ${reason.trim()}`);
    ready.push(...paths);
  };
  return {
    take: async () => {
      while (ready.length === 0) {
        making ??= make().finally(() => {
          making = null;
        });
        await making;
      }
      return openChannel(ready.pop() ?? "");
    },
  };
}

/** Opening for both ways lets our end wait without a writer; the name is gone before any command sees the channel. */
function openChannel(path: string): OutputChannel {
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  unlinkSync(path);
  let isWriterOpen = true;
  const closeWriter = () => {
    if (isWriterOpen) closeSync(writer);
    isWriterOpen = false;
  };
  return {
    reader,
    writer,
    closeWriter,
    close: () => {
      closeWriter();
      closeSync(reader);
    },
  };
}
