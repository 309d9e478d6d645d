import { ConfigError, loadCliConfig } from "../config.ts";
import { callOf } from "./call.ts";
import { commands } from "./commands.ts";
import type { Command } from "./command.ts";
import { faultText } from "./fault-text.ts";
import { flagsOf, fullHelp, overview, shortHelp } from "./help.ts";
import { nearest } from "./nearest.ts";
import { parseWords } from "./parse.ts";
import { createTerminal, type Terminal } from "./terminal.ts";
import type { CliTools } from "./tools.ts";
import { UsageError } from "./usage-error.ts";

/** What a shell shows for a program that wrote to a reader that had left (SIGPIPE). */
const brokenPipe = 141;

/** Runs what was typed after `fairlead`; resolves with the exit code. Throws only faults of the program itself. */
export async function runCli(typed: readonly string[], tools: CliTools): Promise<number> {
  const [name = "", ...words] = typed;
  let terminal = createTerminal({ color: false });
  try {
    const config = loadCliConfig();
    terminal = createTerminal({ color: config.noColor === "" });
    if (["", "-h", "--help", "help"].includes(name)) return await showHelp(words, terminal, tools);
    if (["-V", "--version", "version"].includes(name)) return await print(terminal, `fairlead ${tools.version}\n`);
    const command = commandNamed(name);
    const own = words.slice(0, words.includes("--") ? words.indexOf("--") : undefined);
    if (own.includes("--help")) return await print(terminal, fullHelp(command));
    if (own.includes("-h")) return await print(terminal, shortHelp(command));
    const parsed = parseWords(words, flagsOf(command));
    checkWords(command, parsed.words);
    return await command.run(await callOf(parsed, { config, terminal, tools }));
  } catch (fault) {
    return explain(fault, name, terminal);
  } finally {
    await terminal.settled();
  }
}

async function showHelp([name]: string[], terminal: Terminal, tools: CliTools): Promise<number> {
  const isCommand = name !== undefined && !name.startsWith("-");
  return print(terminal, isCommand ? fullHelp(commandNamed(name)) : overview(tools.version));
}

async function print(terminal: Terminal, text: string): Promise<number> {
  await terminal.out(text);
  return 0;
}

function commandNamed(name: string): Command {
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return found;
  const names = commands.map((command) => command.name);
  const meant = nearest(name, names);
  throw new UsageError(
    `there is no command "${name}"; ${meant === null ? `there are ${names.join(", ")}` : `did you mean ${meant}?`}`,
  );
}

function checkWords({ name, usage, words: { min, max } }: Command, words: readonly string[]): void {
  if (words.length >= min && words.length <= max) return;
  const problem = words.length < min ? "something is missing" : `"${words[max]}" is too much`;
  throw new UsageError(`${problem}; write: fairlead ${name} ${usage}`);
}

function explain(fault: unknown, name: string, terminal: Terminal): number {
  if (fault instanceof UsageError) {
    terminal.say(`fairlead: ${fault.message}`);
    terminal.say(`See: fairlead ${commands.some((command) => command.name === name) ? `${name} ` : ""}-h`);
    return 2;
  }
  if (fault instanceof Error && "code" in fault && fault.code === "EPIPE") return brokenPipe;
  const text = fault instanceof ConfigError ? fault.message : faultText(fault);
  if (text === null) throw fault;
  terminal.say(`fairlead: ${text}`);
  return fault instanceof ConfigError ? 2 : 1;
}
