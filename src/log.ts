export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];
type Fields = Record<string, unknown>;

/** One JSON line per event on stderr; the last lines are kept, in words, for `/logs`. Fields must never hold secrets. */
export type Log = {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  /** Newest last, `[ISO time] [LEVEL] text`, at most `maxLines`. */
  lines(): string[];
  /** Adds a line to `lines()` alone. */
  keep(level: LogLevel, text: string): void;
};

const keptLineCharsMax = 2_000;

export function createLog(options: { level: LogLevel; maxLines: number; write?: (line: string) => void }): Log {
  const ring: string[] = [];
  const write = options.write ?? ((line: string) => process.stderr.write(`${line}\n`));
  const floor = logLevels.indexOf(options.level);
  const keep = (level: LogLevel, text: string) => {
    ring.push(`[${new Date().toISOString()}] [${level.toUpperCase()}] ${text.slice(0, keptLineCharsMax)}`);
    if (ring.length > options.maxLines) ring.splice(0, ring.length - options.maxLines);
  };
  const emit =
    (level: LogLevel) =>
    (event: string, fields: Fields = {}) => {
      if (logLevels.indexOf(level) < floor) return;
      write(JSON.stringify({ at: new Date().toISOString(), level, event, ...describe(fields) }));
      if (level !== "debug") keep(level, inWords(event, fields));
    };
  return {
    debug: emit("debug"),
    info: emit("info"),
    warn: emit("warn"),
    error: emit("error"),
    lines: () => [...ring],
    keep,
  };
}

/** A log that writes and keeps nothing. */
export function silentLog(): Log {
  return createLog({ level: "error", maxLines: 0, write: () => undefined });
}

function describe(fields: Fields): Fields {
  const out: Fields = {};
  for (const [key, value] of Object.entries(fields)) out[key] = value instanceof Error ? faultText(value) : value;
  return out;
}

function inWords(event: string, fields: Fields): string {
  const parts = Object.entries(describe(fields)).map(([key, value]) => `${key}=${String(value)}`);
  return [event, ...parts].join(" ");
}

function faultText(fault: Error): string {
  const cause = fault.cause instanceof Error ? ` (because ${fault.cause.message})` : "";
  return `${fault.name}: ${fault.message}${cause}`;
}
