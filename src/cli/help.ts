import { type Command, type Flags, helpFlags, jsonFlag, serviceFlags } from "./command.ts";
import { groups } from "./commands.ts";

const columnsMax = 80;

/** What there is, on one screen. */
export function overview(version: string): string {
  const lists = groups.flatMap(({ title, commands }) => [
    `${title}:`,
    ...commands.map(({ name, summary }) => `  ${name.padEnd(11)}${summary}`),
  ]);
  return [
    `fairlead ${version}: jobs of five protocols on one durable engine`,
    "",
    "Usage: fairlead <command> [words and flags]",
    "",
    ...lists,
    "",
    "-h after a command shows its flags, --help everything about it.",
    "",
  ].join("\n");
}

/** `-h`: one screen. */
export function shortHelp(command: Command): string {
  return [
    `fairlead ${command.name}: ${command.summary}`,
    "",
    `Usage: ${usageOf(command)}`,
    "",
    ...flagLines(flagsOf(command)),
    "",
  ].join("\n");
}

/** `--help`: examples first, then everything. */
export function fullHelp(command: Command): string {
  return [
    `fairlead ${command.name}: ${command.summary}`,
    "",
    "Examples:",
    ...command.examples.flatMap(({ line, does }) => [`  $ ${line}`, `      ${does}`]),
    "",
    `Usage: ${usageOf(command)}`,
    "",
    ...command.notes.flatMap((note) => [...wrap(note), ""]),
    ...flagLines(flagsOf(command)),
    "",
    ...wrap(exitCodes),
    "",
  ].join("\n");
}

const exitCodes =
  "Exit codes: 0 done, 1 failed or refused, 2 written wrongly. `run` exits with the code of the job, 128 + n when signal n ended it, 130 after Ctrl-C.";

/** All flags that a command knows. */
export function flagsOf(command: Command): Flags {
  return { ...command.flags, ...(command.where === "service" ? { ...serviceFlags, ...jsonFlag } : {}), ...helpFlags };
}

function usageOf({ name, usage }: Command): string {
  return `fairlead ${name} ${usage}`.trim();
}

function flagLines(flags: Flags): string[] {
  const rows = Object.entries(flags).map(([name, { short, value, help }]) => ({
    name: `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  }));
  const width = Math.max(...rows.map(({ name }) => name.length)) + 2;
  return rows.flatMap(({ name, help }) => {
    const [first = "", ...more] = wrap(help, columnsMax - width - 2);
    return [`  ${name.padEnd(width)}${first}`, ...more.map((line) => `  ${" ".repeat(width)}${line}`)];
  });
}

function wrap(text: string, columns = columnsMax): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 1 <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
