import { resolve } from "node:path";
import type { Limits } from "../limits.ts";
import type { ExecContainer } from "./definition.ts";
import {
  type Entry,
  readFlag,
  readInteger,
  readObject,
  readRaw,
  readText,
  readTexts,
  refuseOthers,
  report,
} from "./entry.ts";
import { ignoredFields, parseCommon, parseEnv } from "./parse-common.ts";

const sizes = { min: 1, max: 16_777_216 };

/** An entry with `exec`. A relative `directory` starts at the containers file. */
export function parseExec(entry: Entry, baseDirectory: string): ExecContainer {
  const directory = readText(entry, "directory", "");
  const exec: ExecContainer = {
    ...parseCommon(entry),
    kind: "exec",
    command: parseCommand(entry),
    directory: directory === "" ? null : resolve(baseDirectory, directory),
    env: parseEnv(entry),
    limits: parseLimits(readObject(entry, "limits")),
  };
  refuseOthers(entry, [...ignoredFields, "url", "port"]);
  return exec;
}

function parseCommand(entry: Entry): string[] {
  const given = readRaw(entry, "exec");
  const isLine = typeof given === "string";
  const words = isLine ? ["/bin/sh", "-c", given] : readTexts(entry, "exec");
  const isEmpty = isLine ? given.trim() === "" : words.length === 0 || words[0] === "";
  if (isEmpty) {
    report(entry, "exec", 'must name a command: a list such as ["wc", "-w"], or a shell line such as "wc -w"');
  }
  return words;
}

function parseLimits(entry: Entry): Partial<Limits> {
  const asked = {
    wallS: readInteger(entry, "wall_s", sizes),
    cpuS: readInteger(entry, "cpu_s", sizes),
    memoryMb: readInteger(entry, "memory_mb", sizes),
    fileMb: readInteger(entry, "file_mb", sizes),
    processes: readInteger(entry, "processes", { min: 4, max: 1_000_000 }),
    network: readRaw(entry, "network") === undefined ? null : readFlag(entry, "network", false),
  };
  refuseOthers(entry, []);
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null));
}
