import type { AnyElysia } from "elysia";
import { refuseWithProblem } from "./problem.ts";
import type { Refuse } from "./refusal.ts";
import type { Surface } from "./surface.ts";

/** What the edge knows of paths. Asked for errors only. */
export type RouteTable = {
  /** The methods that a path knows, for `Allow`; empty for an unknown path. */
  methodsAt(path: string): string[];
  /**
   * Who words refusals: the surface that has the route (its pattern, when one matched), else the one with the longest
   * prefix of the path, else the only protocol there is, else our own API's words.
   */
  ownerOf(path: string, route: string | undefined): Refuse;
};

type Entry = { shape: RegExp; methods: Set<string>; owner: Refuse | null };
type Prefix = { start: string; owner: Refuse };

/** `protocols` are the surfaces that clients speak, `rooms` other parts with paths of their own. */
export function createRouteTable(app: AnyElysia, protocols: readonly Surface[], rooms: readonly Surface[]): RouteTable {
  const entries = entriesOf(app, ownersOfRoutes([...protocols, ...rooms]));
  const prefixes = prefixesOf([...protocols, ...rooms]);
  const fallback = (protocols.length === 1 ? protocols[0]?.refuse : null) ?? refuseWithProblem;
  const entriesAt = (path: string) => [...entries.values()].filter(({ shape }) => shape.test(path));
  return {
    methodsAt: (path) => [...new Set(entriesAt(path).flatMap(({ methods }) => [...methods]))].sort(),
    ownerOf: (path, route) =>
      (route === undefined ? entriesAt(path)[0] : entries.get(route))?.owner ??
      prefixes.find(({ start }) => path === start || path.startsWith(`${start}/`))?.owner ??
      fallback,
  };
}

function ownersOfRoutes(surfaces: readonly Surface[]): Map<string, Refuse> {
  return new Map(surfaces.flatMap(({ plugin, refuse }) => plugin.routes.map(({ path }) => [path, refuse])));
}

function entriesOf(app: AnyElysia, owners: Map<string, Refuse>): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const { method, path } of app.routes) {
    const fresh: Entry = { shape: shapeOf(path), methods: new Set(), owner: owners.get(path) ?? null };
    const entry = entries.get(path) ?? fresh;
    entries.set(path, entry);
    entry.methods.add(method);
    if (method === "GET") entry.methods.add("HEAD");
  }
  return entries;
}

function prefixesOf(surfaces: readonly Surface[]): Prefix[] {
  return surfaces
    .flatMap(({ prefixes, refuse }) => prefixes.map((prefix) => ({ start: prefix.replace(/\/$/, ""), owner: refuse })))
    .sort((one, other) => other.start.length - one.start.length);
}

/** `/a/:id/*` as a pattern; a slash at the end makes no difference, as in the router. */
function shapeOf(path: string): RegExp {
  const parts = path.split("/").map((part) => {
    if (part === "*") return ".*";
    if (part.startsWith(":")) return "[^/]+";
    return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("/").replace(/\/$/, "")}/?$`);
}
