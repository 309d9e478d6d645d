import type { ImageContainer, Volume } from "./definition.ts";
import {
  type Entry,
  readFlag,
  readInteger,
  readNumber,
  readObject,
  readRaw,
  readTexts,
  readWord,
  refuseOthers,
  report,
} from "./entry.ts";
import { ignoredFields, parseBearer, parseCommon, parseEnv } from "./parse-common.ts";
import { shellWords } from "./shell-words.ts";
import { parseVolume } from "./volume.ts";

const defaultPort = 3_000;
const imagePattern = /^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$/;

/** An entry with `image`, which this node starts. `startup_s` is what a model may need to load. */
export function parseImage(entry: Entry): ImageContainer {
  const image: ImageContainer = {
    ...parseCommon(entry),
    kind: "image",
    bearer: parseBearer(entry),
    port: readInteger(entry, "port", { min: 1, max: 65_535 }) ?? defaultPort,
    command: parseArguments(entry),
    env: parseEnv(entry),
    volumes: parseVolumes(entry),
    gpu: readFlag(entry, "gpu", false),
    start: readWord(entry, "start", ["boot", "demand"]),
    startupS: readNumber(entry, "startup_s", { min: 1, max: 3_600 }) ?? 60,
    ...parseLimits(readObject(entry, "limits")),
  };
  if (!imagePattern.test(image.image)) {
    report(entry, "image", `must be an image's name such as ghcr.io/team/model:1.2, not "${image.image}"`);
  }
  refuseOthers(entry, ignoredFields);
  return image;
}

function parseArguments(entry: Entry): string[] {
  const given = readRaw(entry, "command");
  if (typeof given !== "string") return readTexts(entry, "command");
  const words = shellWords(given);
  if (words === null)
    report(entry, "command", "has a quote or a backslash that is left open: close it, or write a list");
  return words ?? [];
}

function parseVolumes(entry: Entry): Volume[] {
  return readTexts(entry, "volumes").flatMap((text, at) => {
    const volume = parseVolume(text);
    if (!("problem" in volume)) return [volume];
    report(entry, "volumes", `entry ${at} ("${text}"): ${volume.problem}`);
    return [];
  });
}

function parseLimits(entry: Entry) {
  const limits = {
    memoryMb: readInteger(entry, "memory_mb", { min: 6, max: 16_777_216 }),
    cpus: readNumber(entry, "cpus", { min: 0.01, max: 4_096 }),
    processes: readInteger(entry, "processes", { min: 4, max: 1_000_000 }) ?? 4_096,
    openFiles: readInteger(entry, "open_files", { min: 64, max: 1_048_576 }) ?? 65_536,
  };
  refuseOthers(entry, []);
  return limits;
}
