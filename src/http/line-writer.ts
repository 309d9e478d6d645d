/** Takes whole lines and writes many at once. */
export type LineWriter = {
  write(line: string): void;
  /** Hands over everything taken so far; resolves once it is written, or once its reader stands still. */
  flush(): Promise<void>;
  /** Hands over what is left without waiting: for the end of the process. */
  close(): void;
};

/** What is written to, such as `Bun.stderr.writer()`, which does not block on a pipe that is full. */
export type TextSink = { write(text: string): unknown; flush(): unknown };

const flushEveryMs = 100;
const flushAtChars = 65_536;
/** A reader of the log that stands still costs lines, not memory. */
const waitingCharsMax = 4 * 1_048_576;
const flushMaxMs = 1_000;

/**
 * One write for the lines of a tenth of a second instead of one each: at tens of thousands of requests a second the
 * system call would cost more than the request. A process that ends without `close` loses at most that tenth.
 */
export function createLineWriter(sink: TextSink): LineWriter {
  let waiting = "";
  let dropped = 0;
  let timer: Timer | null = null;
  let running: Promise<void> | null = null;

  const handOver = () => {
    const text = dropped === 0 ? waiting : `${waiting}${droppedLine(dropped)}`;
    waiting = "";
    dropped = 0;
    sink.write(text);
    return sink.flush();
  };
  const start = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (running !== null || waiting === "") return;
    const written = handOver();
    if (!(written instanceof Promise)) return;
    running = written.catch(ignoreLostReader).finally(() => {
      running = null;
      start();
    });
  };
  return {
    write: (line) => {
      if (waiting.length > waitingCharsMax) {
        dropped += 1;
        return;
      }
      waiting += line;
      if (waiting.length > flushAtChars) start();
      else timer ??= setTimeout(start, flushEveryMs).unref();
    },
    flush: async () => {
      start();
      await Promise.race([running, Bun.sleep(flushMaxMs)]);
    },
    close: () => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      if (waiting !== "") handOver();
    },
  };
}

function ignoreLostReader(fault: unknown): void {
  // A log that cannot be written must not stop the service, and nobody is left to be told.
  void fault;
}

function droppedLine(count: number): string {
  return `${JSON.stringify({ at: new Date().toISOString(), level: "warn", event: "request_lines_dropped", count })}\n`;
}
