import { dirname } from "node:path";
import type { Problem } from "../../errors.ts";
import type { ContainerDefinition } from "./definition.ts";
import { isRecord, openEntry } from "./entry.ts";
import { type ParseContext, parseContainer } from "./parse-container.ts";

const containersMax = 1_000;

/** What a containers file says. `containers` is usable only when `problems` is empty. */
export type ReadContainers = { containers: Map<string, ContainerDefinition>; problems: Problem[] };

/**
 * Reads the text of a containers file: an array, or `{"containers": […]}` as in an Infernet node's `config.json`, whose other
 * fields are left alone except `manage_containers: false` (images are started by somebody else). Pointers are RFC 6901.
 */
export function readContainers(text: string, path: string): ReadContainers {
  const containers = new Map<string, ContainerDefinition>();
  const problems: Problem[] = [];
  const document = parseDocument(text, problems);
  if (document === null) return { containers, problems };
  const context: ParseContext = { baseDirectory: dirname(path), managesImages: document.managesImages };
  for (const [at, value] of document.list.entries()) {
    const pointer = `${document.pointer}/${at}`;
    if (!isRecord(value)) {
      problems.push({ pointer, detail: 'must be an object such as {"id": "word-count", "exec": "wc -w"}' });
      continue;
    }
    const container = parseContainer(openEntry(value, pointer, problems), context);
    if (containers.has(container.id)) {
      problems.push({ pointer: `${pointer}/id`, detail: `repeats "${container.id}": give every container its own id` });
    }
    containers.set(container.id, container);
  }
  return { containers, problems };
}

type Document = { list: unknown[]; pointer: string; managesImages: boolean };

function parseDocument(text: string, problems: Problem[]): Document | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    problems.push({ pointer: "", detail: `must be JSON: ${reason}` });
    return null;
  }
  const list = isRecord(value) ? value.containers : value;
  const pointer = isRecord(value) ? "/containers" : "";
  if (!Array.isArray(list) || list.length > containersMax) {
    const detail = `must be a list of at most ${containersMax} containers, or an object with that list as \`containers\``;
    problems.push({ pointer, detail });
    return null;
  }
  return { list, pointer, managesImages: !isRecord(value) || value.manage_containers !== false };
}
