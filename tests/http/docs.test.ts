import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { t } from "elysia";
import { openRoom, type Room, wordySurface } from "./room.ts";

let room: Room;

beforeAll(async () => {
  room = await openRoom({
    surfaces: ({ gate }) => [
      wordySurface("things", gate, (app) =>
        app
          .get("/things/:id/files/*", () => "", {
            auth: "job",
            detail: { operationId: "readFile", summary: "One file", responses: { 200: { description: "The file" } } },
          })
          .get("/things/:id/files.zip", () => "", { auth: "job", detail: { operationId: "readZip" } })
          .post("/things", () => "", {
            auth: "key",
            parse: "none",
            detail: {
              operationId: "createThing",
              requestBody: { content: { "application/json": { schema: t.Object({ name: t.String() }) as never } } },
            },
          })
          .get("/things/:id", () => "", { auth: "trusted", query: t.Object({ wait: t.Optional(t.Number()) }) })
          .get("/things/secret", () => "", { auth: "key", detail: { hide: true } }),
      ),
    ],
  });
});
afterAll(() => room[Symbol.asyncDispose]());

type Operation = {
  operationId: string;
  security?: unknown[];
  parameters?: { name: string; in: string }[];
  requestBody?: unknown;
};
type Document = {
  openapi: string;
  info: unknown;
  paths: Record<string, Record<string, Operation & { responses: object }>>;
};

const readDocument = async () => (await (await fetch(`${room.url}/openapi`)).json()) as Document;

describe("/openapi", () => {
  test("tells of every route that is not hidden, with wildcards and dots", async () => {
    const { paths, openapi, info } = await readDocument();
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([
        "/things",
        "/things/{id}",
        "/things/{id}/files/{path}",
        "/things/{id}/files.zip",
        "/readyz",
        "/demo/key",
      ]),
    );
    expect(Object.keys(paths).filter((path) => /secret|docs|openapi|page/.test(path))).toEqual([]);
    expect(openapi).toStartWith("3.");
    expect(info).toEqual({ title: "Fairlead", version: "0.0.0", description: "A test" });
  });

  test("tells the guard of each route as its security", async () => {
    const { paths } = await readDocument();
    const keys = [{ key: [] }, { apiKey: [] }];
    expect(paths["/things"]?.post?.security).toEqual(keys);
    expect(paths["/things/{id}"]?.get?.security).toEqual([{}, ...keys]);
    expect(paths["/things/{id}/files/{path}"]?.get?.security).toEqual([...keys, { jobToken: [] }]);
    expect(paths["/livez"]?.get?.security).toEqual([]);
  });

  test("has what a route says of itself, and a description for every response", async () => {
    const { paths } = await readDocument();
    expect(paths["/things"]?.post).toMatchObject({
      operationId: "createThing",
      requestBody: { content: { "application/json": { schema: { type: "object", required: ["name"] } } } },
    });
    expect(paths["/things/{id}/files/{path}"]?.get).toMatchObject({
      operationId: "readFile",
      parameters: [
        { name: "id", in: "path" },
        { name: "path", in: "path" },
      ],
    });
    const responses = Object.values(paths).flatMap((path) =>
      Object.values(path).flatMap((operation) => Object.values(operation.responses)),
    );
    expect(responses.length).toBeGreaterThan(10);
    expect(responses.every((response) => typeof response.description === "string")).toBe(true);
  });
});

describe("/docs", () => {
  test("is Swagger UI with everything it loads from here", async () => {
    const page = await fetch(`${room.url}/docs`);
    const html = await page.text();
    const loaded = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map((found) => found[1] ?? "");
    expect(loaded.length).toBeGreaterThan(3);
    expect(loaded.filter((path) => !path.startsWith("/docs/"))).toEqual([]);
    for (const path of loaded) {
      const asset = await fetch(`${room.url}${path}`);
      expect([path, asset.status]).toEqual([path, 200]);
      expect((await asset.arrayBuffer()).byteLength).toBeGreaterThan(100);
    }
    const start = await (await fetch(`${room.url}/docs/start.js`)).text();
    expect(html + start).not.toMatch(/https?:|\/\/[a-z]/i);
    expect(start).toContain("validatorUrl: null");
  });

  test("lets its page load nothing from elsewhere", async () => {
    const page = await fetch(`${room.url}/docs`, { headers: { accept: "text/html" } });
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self'; /);
    expect(page.headers.get("content-security-policy")).not.toMatch(
      /https?:|\*|unsafe-eval|script-src[^;]*unsafe-inline/,
    );
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
    expect(page.headers.get("x-frame-options")).toBe("DENY");
  });

  test("hands out the files it needs and no others", async () => {
    for (const name of ["package.json", "..%2fpackage.json", "swagger-ui.js", "__proto__", "%2e%2e/package.json"]) {
      expect([name, (await fetch(`${room.url}/docs/${name}`)).status]).toEqual([name, 404]);
    }
  });

  test("is not there when it is switched off", async () => {
    await using other = await openRoom({ config: { openapiEnabled: false } });
    for (const path of ["/docs", "/docs/start.js", "/openapi"])
      expect((await fetch(`${other.url}${path}`)).status).toBe(404);
  });
});

describe("a document that is not ours", () => {
  test("can do nothing in a browser", async () => {
    await using other = await openRoom({
      surfaces: ({ gate }) => [
        wordySurface("files", gate, (app) =>
          app.get("/files/a", () => new Response("<script>1</script>", { headers: { "content-type": "text/html" } }), {
            auth: "open",
          }),
        ),
      ],
    });
    const shown = await fetch(`${other.url}/files/a`, { headers: { accept: "text/html" } });
    expect(shown.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(shown.headers.get("content-security-policy")).toContain("sandbox");
  });
});
