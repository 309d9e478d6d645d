import type { Client } from "../client.ts";
import type { Terminal } from "./terminal.ts";
import type { CliTools } from "./tools.ts";

/** `value` names what the flag takes; a flag without takes nothing. */
export type Flag = { value?: string; short?: string; many?: true; help: string };
export type Flags = Readonly<Record<string, Flag>>;
type ValueOf<F extends Flag> = F extends { many: true } ? string[] : F extends { value: string } ? string : boolean;
/** What a command's flags were given; of flags that are not known in particular, any of the kinds of values. */
export type Given<F extends Flags> = {
  readonly [K in keyof F]?: string extends keyof F ? string | boolean | string[] : ValueOf<F[K]>;
};

/** A command as it was typed. */
export type Call<F extends Flags = Flags> = {
  words: string[];
  flags: Given<F>;
  json: boolean;
  /** Address of the service. */
  url: string;
  /** Keys of webhooks, as the environment has them. */
  webhookSecrets: readonly string[];
  client: Client;
  terminal: Terminal;
  tools: CliTools;
};

export type CommandOf<F extends Flags> = {
  name: string;
  /** One line of at most 60 characters. */
  summary: string;
  /** What follows the name. */
  usage: string;
  examples: readonly { line: string; does: string }[];
  words: { min: number; max: number };
  flags: F;
  /** What `--help` tells beyond the short help. */
  notes: readonly string[];
  /** Where it works: with a service over HTTP, or on this machine. */
  where: "service" | "machine";
  /** Resolves with the exit code. */
  run(call: Call<F>): Promise<number>;
};
export type Command = CommandOf<Flags>;

/** Ties the type of a command's flags to what its `run` is given. */
export function defineCommand<const F extends Flags>(command: CommandOf<F>): Command {
  return command;
}

/** Flags of every command, and of those that talk to a service. */
export const helpFlags = {
  help: { help: "everything about this command, with examples" },
} as const satisfies Flags;

export const serviceFlags = {
  url: { value: "URL", help: "the service (FAIRLEAD_URL, http://127.0.0.1:8080)" },
  "key-file": { value: "FILE", help: "file with the key (else FAIRLEAD_KEY, AUTH_KEY)" },
} as const satisfies Flags;

export const jsonFlag = { json: { help: "the answer as JSON on stdout" } } as const satisfies Flags;
