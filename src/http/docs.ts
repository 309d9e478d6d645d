import { dirname, join } from "node:path";
import { Elysia } from "elysia";
import { carriedFile } from "../carried.ts";
import { auth } from "./auth.ts";
import type { Gate } from "./gate.ts";
import { htmlPage } from "./html.ts";
import { type OpenapiOptions, openapiDocument } from "./openapi.ts";
import { refuseWithProblem } from "./problem.ts";
import { refusal } from "./refusal.ts";

/** Where the single executable has them. */
export const assetsFolder = "swagger-ui";
/** The files of Swagger UI that the page needs, from the installed package: nothing is loaded from elsewhere. */
export const assetTypes: Record<string, string> = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  "favicon-32x32.png": "image/png",
};

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fairlead API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

/** `validatorUrl: null`, or Swagger UI sends the document's address to a service on the Internet. */
const start = `window.ui = SwaggerUIBundle({
  url: "/openapi",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
`;

/** `/openapi`, the document of all routes, made at the first call, and `/docs`, Swagger UI showing it. */
export function docsRoutes(gate: Gate, options: () => OpenapiOptions) {
  let made: Promise<string> | null = null;
  const document = () => {
    made ??= openapiDocument(options())
      .then((found) => JSON.stringify(found))
      .catch((fault) => {
        made = null;
        throw fault;
      });
    return made;
  };
  const hidden = { auth: "open", detail: { hide: true } } as const;
  return new Elysia({ name: "docs" })
    .use(auth(gate, refuseWithProblem))
    .get("/openapi", async () => json(await document()), hidden)
    .get("/docs", () => htmlPage(page), hidden)
    .get("/docs/start.js", () => script(start), hidden)
    .get("/docs/:file", ({ params, request }) => asset(params.file, request), hidden);
}

function json(text: string): Response {
  return new Response(text, { headers: { "content-type": "application/json", "cache-control": "no-cache" } });
}

function script(text: string): Response {
  return new Response(text, { headers: { "content-type": "text/javascript; charset=utf-8" } });
}

function asset(name: string, request: Request): Response {
  const type = Object.hasOwn(assetTypes, name) ? assetTypes[name] : undefined;
  if (type === undefined) return refuseWithProblem(refusal(request, "not_found", "There is nothing at this path"));
  const headers = { "content-type": type, "cache-control": "public, max-age=3600" };
  return new Response(Bun.file(assetFile(name)), { headers });
}

/** Where one of `assetTypes` is. */
export function assetFile(name: string): string {
  if (Bun.isStandaloneExecutable) return carriedFile(join(assetsFolder, name));
  return join(dirname(Bun.resolveSync("swagger-ui-dist/package.json", import.meta.dir)), name);
}
