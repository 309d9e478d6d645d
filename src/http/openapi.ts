import { swagger } from "@elysiajs/swagger";
import { type AnyElysia, Elysia } from "elysia";
import { routeGuards } from "./guarded.ts";
import type { AuthMode } from "./gate.ts";

type Operation = Record<string, unknown> & {
  parameters?: unknown[];
  security?: Record<string, string[]>[];
  responses?: Record<string, { description?: string }>;
};
type Document = Record<string, unknown> & { paths: Record<string, Record<string, Operation>> };

export type OpenapiOptions = {
  /** Everything with routes to document. Routes with `detail: { hide: true }` are left out. */
  plugins: readonly AnyElysia[];
  version: string;
  description: string;
  /** Names and descriptions of the tags that routes carry. */
  tags?: { name: string; description: string }[];
};

const securitySchemes = {
  key: { type: "http", scheme: "bearer", description: "A key of `AUTH_KEY`, also without the word Bearer" },
  apiKey: { type: "apiKey", in: "header", name: "x-api-key" },
  jobToken: { type: "apiKey", in: "query", name: "token", description: "A token made for this one job" },
};

/** Which security each guard asks for; `{}` says that it may also be none. */
const securityOf: Record<AuthMode, Record<string, string[]>[]> = {
  key: [{ key: [] }, { apiKey: [] }],
  lb: [{ key: [] }, { apiKey: [] }],
  job: [{ key: [] }, { apiKey: [] }, { jobToken: [] }],
  trusted: [{}, { key: [] }, { apiKey: [] }],
  open: [],
};

/**
 * The OpenAPI document of all routes: what `@elysiajs/swagger` makes of them, with the guards as security, and with
 * the paths that end in a wildcard, which it leaves out. The plugins are read, not served.
 */
export async function openapiDocument(options: OpenapiOptions): Promise<Document> {
  const documentation = {
    info: { title: "Fairlead", version: options.version, description: options.description },
    tags: options.tags ?? [],
    components: { securitySchemes },
  };
  // The plugin also serves a page that loads its scripts from elsewhere, so it stands in an app of its own that never
  // listens.
  const reader = new Elysia().use(
    swagger({ path: "/page", specPath: "/document", excludeStaticFile: false, documentation: documentation as object }),
  );
  for (const plugin of options.plugins) reader.use(plugin);
  const response = await reader.handle(new Request("http://localhost/document"));
  const document = (await response.json()) as Document;
  addWildcards(document, reader);
  addSecurity(document, reader);
  for (const operation of operationsOf(document)) describeResponses(operation);
  return document;
}

function addWildcards(document: Document, app: AnyElysia): void {
  for (const { path, method, hooks } of app.routes) {
    const detail: Operation & { hide?: boolean } = { ...hooks?.detail };
    if (!path.endsWith("/*") || detail.hide === true || method === "ALL") continue;
    const shown = openapiPath(path);
    const names = [...shown.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
    const parameters = names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } }));
    const operation = { operationId: `${method.toLowerCase()}${shown.replace(/\W+(\w)?/g, upper)}`, ...detail };
    document.paths[shown] = {
      ...document.paths[shown],
      [method.toLowerCase()]: { ...operation, parameters: [...parameters, ...(detail.parameters ?? [])] },
    };
  }
}

function addSecurity(document: Document, app: AnyElysia): void {
  for (const { method, path, guards } of routeGuards(app)) {
    const operation = document.paths[openapiPath(path)]?.[method.toLowerCase()];
    const [guard] = guards;
    if (operation !== undefined && guard !== undefined) operation.security ??= securityOf[guard];
  }
}

/** A response without a description is no valid one. */
function describeResponses(operation: Operation): void {
  for (const [status, response] of Object.entries(operation.responses ?? {})) {
    response.description ??= Number(status) < 400 ? "Done" : "Refused";
  }
}

function operationsOf({ paths }: Document): Operation[] {
  return Object.values(paths).flatMap((operations) => Object.values(operations));
}

/** `/a/:id/*` as `/a/{id}/{path}`. */
function openapiPath(path: string): string {
  return path.replace(/:(\w+)\??/g, "{$1}").replace(/\*$/, "{path}");
}

function upper(_found: string, first: string | undefined): string {
  return first === undefined ? "" : first.toUpperCase();
}
