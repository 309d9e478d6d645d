import { describe, expect, test } from "bun:test";
import { Elysia, t } from "elysia";
import { auth } from "../../src/http/auth.ts";
import { createGate, type Gate } from "../../src/http/gate.ts";
import { assertEveryRouteGuarded } from "../../src/http/guarded.ts";
import { refuseWithProblem } from "../../src/http/problem.ts";
import { bearer, bodyOf, goodKey, openRoom, wordySurface } from "./room.ts";

const settings = {
  authKeys: [goodKey],
  lbAuthKey: "",
  trustedNetworks: [],
  trustedProxies: [],
  host: "127.0.0.1",
  publicUrl: "",
};
const gate = createGate(settings, { isLoopback: true, tokens: null });
const start = () => new Elysia().use(auth(gate, refuseWithProblem));

describe("the check of all routes", () => {
  test("finds a route without a guard", () => {
    const app = start()
      .get("/a", () => "", { auth: "key" })
      .use(new Elysia().get("/forgotten/:id", () => ""));
    expect(() => assertEveryRouteGuarded(app)).toThrow("GET /forgotten/:id has no guard");
  });

  test("finds a route with two guards, of which both would have to agree", () => {
    const app = start()
      .guard({ auth: "key" })
      .get("/a/:id", () => "", { auth: "job" });
    expect(() => assertEveryRouteGuarded(app)).toThrow("GET /a/:id has 2 guards (key, job)");
  });

  test("finds a route whose body is read before its caller is known", () => {
    const app = start()
      .post("/a", ({ body }) => JSON.stringify(body), { auth: "key" })
      .post("/b", () => "", { auth: "key", body: t.Object({}) })
      .post("/c", ({ request }) => request.text(), { auth: "key", parse: "none" })
      .post("/d", () => "", { auth: "key" });
    expect(() => assertEveryRouteGuarded(app)).toThrow(/POST \/a lets.*\n.*POST \/b lets[^\n]*$/);
  });

  test("takes a guard for a whole instance, and for a group", () => {
    const app = start()
      .guard({ auth: "key" })
      .get("/a", () => "")
      .group("/g", (group) => group.get("/b", () => ""));
    expect(() => assertEveryRouteGuarded(app)).not.toThrow();
  });

  test("keeps the server from being made", async () => {
    const forgetful = (given: Gate) => [
      wordySurface("forgetful", given, (app) => app.get("/forgetful/a", () => ({ secret: 1 }))),
    ];
    const opening = openRoom({ surfaces: ({ gate: given }) => forgetful(given) });
    await expect(opening).rejects.toThrow("GET /forgetful/a has no guard");
  });
});

describe("a guard", () => {
  test("comes before the checks of query and parameters", async () => {
    const surfaces = ({ gate: given }: { gate: Gate }) => [
      wordySurface("strict", given, (app) =>
        app.get("/strict/:id", ({ params }) => ({ id: params.id }), {
          auth: "key",
          query: t.Object({ n: t.Number() }),
          params: t.Object({ id: t.Number() }),
        }),
      ),
    ];
    await using room = await openRoom({ surfaces });
    expect((await fetch(`${room.url}/strict/x`)).status).toBe(401);
    expect((await fetch(`${room.url}/strict/x`, bearer(goodKey))).status).toBe(422);
    expect((await fetch(`${room.url}/strict/1?n=1`, bearer(goodKey))).status).toBe(200);
  });

  test("refuses in the words of its own surface", async () => {
    const surfaces = ({ gate: given }: { gate: Gate }) =>
      ["one", "two"].map((name) =>
        wordySurface(name, given, (app) => app.get(`/${name}/a`, () => ({}), { auth: "key" })),
      );
    await using room = await openRoom({ surfaces });
    const said = await Promise.all(
      ["/one/a", "/two/a", "/demo/key"].map(async (path) => {
        const response = await fetch(`${room.url}${path}`);
        return {
          status: response.status,
          challenge: response.headers.get("www-authenticate"),
          body: await bodyOf(response),
        };
      }),
    );
    expect(said.map(({ body }) => body.by ?? body.type)).toEqual(["one", "two", "/problems/unauthorized"]);
    expect(said.every(({ status, challenge }) => status === 401 && challenge === 'Bearer realm="fairlead"')).toBe(true);
  });
});

describe("without keys", () => {
  const open = (more: Parameters<typeof openRoom>[0] = {}) =>
    openRoom({ ...more, settings: { authKeys: [], trustedNetworks: ["127.0.0.0/8", "::1/128"], ...more.settings } });
  const ask = async (url: string, headers: Record<string, string> = {}) => {
    const response = await fetch(url, { headers });
    return { status: response.status, body: await bodyOf(response) };
  };

  test("a loopback listener serves what would need one", async () => {
    await using room = await open();
    for (const path of ["/demo/key", "/demo/lb", "/demo/jobs/1", "/demo/trusted"]) {
      expect(await ask(`${room.url}${path}`)).toMatchObject({ status: 200, body: { client: "ip:127.0.0.1" } });
    }
  });

  test("a listener for other machines is refused", () => {
    const config = { ...settings, authKeys: [], host: "0.0.0.0" };
    expect(() => createGate(config, { isLoopback: false, tokens: null })).toThrow("AUTH_KEY");
  });

  test("pages of other sites are refused", async () => {
    await using room = await open();
    const origins = ["http://evil.example", "null", `http://127.0.0.1:${room.port}.evil.example`, "http://127.0.0.1:1"];
    for (const origin of origins) expect((await ask(`${room.url}/demo/key`, { origin })).status).toBe(403);
    expect((await ask(`${room.url}/demo/key`, { origin: room.url })).status).toBe(200);
    expect((await ask(`${room.url}/demo/open`, { origin: "http://evil.example" })).status).toBe(200);
  });

  test("names that are not this machine's are refused, as after DNS rebinding", async () => {
    await using room = await open({ settings: { publicUrl: "https://lead.example/x" } });
    const statusFor = async (host: string) => (await ask(`${room.url}/demo/key`, { host })).status;
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"])
      expect([host, await statusFor(host)]).toEqual([host, 403]);
    for (const host of [
      "localhost",
      "localhost:8080",
      "127.0.0.1",
      "127.9.9.9:1",
      "[::1]:80",
      "x.localhost",
      "lead.example",
    ])
      expect([host, await statusFor(host)]).toEqual([host, 200]);
  });
});

describe("a trusted route", () => {
  const ask = async (url: string, headers: Record<string, string> = {}) => {
    const response = await fetch(url, { headers });
    return { status: response.status, body: await bodyOf(response) };
  };

  test("is for callers in the trusted networks, and for keys", async () => {
    await using room = await openRoom({ settings: { trustedNetworks: ["10.0.0.0/8"] } });
    expect(await ask(`${room.url}/demo/trusted`)).toMatchObject({
      status: 401,
      body: { detail: "127.0.0.1 is not in TRUSTED_NETWORKS and gave no key" },
    });
    expect((await ask(`${room.url}/demo/trusted`, { authorization: "wrong" })).status).toBe(401);
    expect((await ask(`${room.url}/demo/trusted`, { authorization: goodKey })).status).toBe(200);
  });

  test("believes nobody but a trusted proxy about the caller's address", async () => {
    await using room = await openRoom({ settings: { trustedNetworks: ["10.0.0.0/8"] } });
    expect((await ask(`${room.url}/demo/trusted`, { "x-forwarded-for": "10.1.1.1" })).status).toBe(401);
    await using other = await openRoom({ settings: { trustedNetworks: ["127.0.0.1"] } });
    const spoofed = await ask(`${other.url}/demo/trusted`, { "x-forwarded-for": "1.2.3.4" });
    expect(spoofed).toMatchObject({ status: 200, body: { client: "ip:127.0.0.1" } });
  });

  test("takes the nearest hop that is no trusted proxy", async () => {
    const proxies = { trustedNetworks: ["10.0.0.0/8"], trustedProxies: ["127.0.0.1", "192.168.0.0/16"] };
    await using room = await openRoom({ settings: proxies });
    const cases: [string, string][] = [
      ["10.1.1.1", "ip:10.1.1.1"],
      ["10.1.1.1, 192.168.1.1", "ip:10.1.1.1"],
      ["1.2.3.4, 10.1.1.1 , 192.168.1.1,192.168.1.2", "ip:10.1.1.1"],
      ["10.1.1.1:5555", "ip:10.1.1.1"],
      ["::ffff:10.1.1.1", "ip:10.1.1.1"],
      ["[::ffff:a01:101]:99", "ip:10.1.1.1"],
      ["10.1.1.1, 1.2.3.4", "refused"],
      ["10.1.1.1, nonsense, 192.168.1.1", "refused"],
      ["", "refused"],
      ["10.1.1.1 10.1.1.1", "refused"],
    ];
    for (const [forwardedFor, client] of cases) {
      const answer = await ask(`${room.url}/demo/trusted`, { "x-forwarded-for": forwardedFor });
      expect([forwardedFor, answer.status === 200 ? answer.body.client : "refused"]).toEqual([forwardedFor, client]);
    }
  });

  test("of everybody is said with a star", async () => {
    await using room = await openRoom({ settings: { trustedNetworks: ["*"] } });
    expect((await ask(`${room.url}/demo/trusted`)).status).toBe(200);
  });
});
