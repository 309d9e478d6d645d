import type { ContainerDefinition, ServiceContainer } from "./definition.ts";
import { type Entry, readInteger, readText, refuseOthers, report } from "./entry.ts";
import { ignoredFields, parseBearer, parseCommon } from "./parse-common.ts";
import { parseExec } from "./parse-exec.ts";
import { parseImage } from "./parse-image.ts";

/** What the file says as a whole: where relative directories start, and whether its images are ours to start. */
export type ParseContext = { baseDirectory: string; managesImages: boolean };

const defaultPort = 3_000;

/** Reads one entry of the containers file. Every problem is reported on the entry; the value counts only when there was none. */
export function parseContainer(entry: Entry, context: ParseContext): ContainerDefinition {
  const kind = kindOf(entry, context);
  if (kind === "exec") return parseExec(entry, context.baseDirectory);
  return kind === "image" ? parseImage(entry) : parseService(entry);
}

function kindOf(entry: Entry, context: ParseContext): ContainerDefinition["kind"] {
  const has = (name: string) => (entry.fields[name] ?? null) !== null;
  if (has("exec")) {
    for (const other of ["url", "image", "port"].filter(has)) {
      report(entry, other, "does not go with `exec`: an entry is a command, a service or an image");
    }
    return "exec";
  }
  if (has("url")) return "service";
  if (has("image")) return context.managesImages ? "image" : "service";
  if (!has("port")) report(entry, "id", "names nothing to run: give the entry `url`, `port`, `exec` or `image`");
  return "service";
}

function parseService(entry: Entry): ServiceContainer {
  const port = readInteger(entry, "port", { min: 1, max: 65_535 }) ?? defaultPort;
  const given = readText(entry, "url", "");
  const service: ServiceContainer = {
    ...parseCommon(entry),
    kind: "service",
    url: given === "" ? `http://127.0.0.1:${port}` : parseUrl(entry, given),
    bearer: parseBearer(entry),
  };
  // What is about starting an image is allowed here, because the original has one shape for both.
  refuseOthers(entry, [...ignoredFields, "command", "env", "volumes", "gpu", "start", "startup_s", "limits"]);
  return service;
}

function parseUrl(entry: Entry, given: string): string {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    report(entry, "url", `must be a full http: or https: URL such as http://127.0.0.1:3000, not "${given}"`);
    return given;
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    report(entry, "url", "must have no user, password, query or fragment: a token belongs into `bearer`");
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}
