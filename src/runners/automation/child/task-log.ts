import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Reply } from "../messages.ts";

export type Level = "debug" | "info" | "warn" | "error";
export type Say = (reply: Reply) => void;

const fileBytesMax = 10 * 1_024 * 1_024;
const lineCharsMax = 10_000;

/** What a task says: to the server as events, and to `logs/optexity.log` in its directory. Secrets are masked by the caller. */
export class TaskLog {
  #bytesLeft = fileBytesMax;
  readonly #path: string;

  constructor(
    logsDirectory: string,
    readonly nonce: number,
    readonly say: Say,
  ) {
    this.#path = join(logsDirectory, "optexity.log");
  }

  write(level: Level, text: string): void {
    const line = text.slice(0, lineCharsMax);
    this.say({ kind: "log", nonce: this.nonce, level, text: line });
    const entry = `${new Date().toISOString()} ${level.toUpperCase()} ${line}\n`;
    this.#bytesLeft -= Buffer.byteLength(entry);
    if (this.#bytesLeft > 0) appendFileSync(this.#path, entry);
  }

  progress(fraction: number, text: string): void {
    this.say({ kind: "progress", nonce: this.nonce, fraction, text });
  }

  step(text: string): void {
    this.say({ kind: "step", nonce: this.nonce, text });
  }
}
