import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { bearer, bodyOf, goodKey, openRoom, type Room } from "./room.ts";

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room[Symbol.asyncDispose]());

const labelOf = (key: string) => `key:${createHash("sha256").update(key).digest("hex").slice(0, 8)}`;

async function ask(path: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${room.url}${path}`, { headers });
  return { status: response.status, headers: response.headers, body: await bodyOf(response) };
}

/** K1: what is sent as which header, and whether it opens. */
const tries: [string, Record<string, string>, boolean][] = [
  ["the key, raw", { authorization: goodKey }, true],
  ["the key as Bearer", { authorization: `Bearer ${goodKey}` }, true],
  ["the key as bearer", { authorization: `bearer ${goodKey}` }, true],
  ["the key as x-api-key", { "x-api-key": goodKey }, true],
  ["the second key", { "x-api-key": "second-key" }, true],
  ["a wrong Authorization beside the right x-api-key", { authorization: "Basic eDp5", "x-api-key": goodKey }, true],
  ["nothing", {}, false],
  ["an empty Authorization", { authorization: "" }, false],
  ["Bearer alone", { authorization: "Bearer" }, false],
  ["Bearer and a space", { authorization: "Bearer " }, false],
  ["a prefix of the key", { authorization: goodKey.slice(0, -1) }, false],
  ["the key and one letter", { authorization: `${goodKey}x` }, false],
  ["the key in capitals", { authorization: goodKey.toUpperCase() }, false],
  ["both keys with a comma, as they are configured", { authorization: `${goodKey},second-key` }, false],
  ["the key as Basic", { authorization: `Basic ${btoa(`:${goodKey}`)}` }, false],
  ["the SHA-256 of the key", { authorization: createHash("sha256").update(goodKey).digest("hex") }, false],
  ["the label of the key", { authorization: labelOf(goodKey).slice(4) }, false],
  ["the balancer's key", { authorization: "balancer-key" }, false],
  ["the balancer's key in its header", { "x-lb-auth": "balancer-key" }, false],
  ["the key as x-lb-auth", { "x-lb-auth": goodKey }, false],
  ["the key as a cookie", { cookie: `authorization=${goodKey}` }, false],
  ["6 kB", { authorization: "k".repeat(6_000) }, false],
  ["__proto__", { authorization: "__proto__" }, false],
];

describe("a guarded route", () => {
  test.each(tries)("and %s", async (_name, headers, opens) => {
    const answer = await ask("/demo/key", headers);
    expect(answer.status).toBe(opens ? 200 : 401);
    if (!opens) expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="fairlead"');
  });

  test("does not take a key from the URL", async () => {
    for (const name of ["token", "key", "api_key", "authorization"]) {
      expect((await ask(`/demo/key?${name}=${goodKey}`)).status).toBe(401);
    }
  });

  test("tells its handler which key it was, by its label", async () => {
    expect((await ask("/demo/key", bearer(goodKey).headers)).body.client).toBe(labelOf(goodKey));
    expect((await ask("/demo/key", { "x-api-key": "second-key" })).body.client).toBe(labelOf("second-key"));
    expect((await ask("/demo/open", { "x-api-key": goodKey })).body.client).toBe("ip:127.0.0.1");
  });

  test("for the balancer takes its key too", async () => {
    expect((await ask("/demo/lb", { "x-lb-auth": "balancer-key" })).body.client).toBe("lb");
    expect((await ask("/demo/lb", { authorization: "Bearer balancer-key" })).body.client).toBe("lb");
    expect((await ask("/demo/lb", { authorization: goodKey })).body.client).toBe(labelOf(goodKey));
    expect((await ask("/demo/lb", { "x-lb-auth": "other" })).status).toBe(401);
  });
});

describe("every route", () => {
  test("is open, or asks for a key", async () => {
    const open = new Set(["/demo/open", "/livez", "/readyz", "/health", "/openapi", "/docs", "/docs/start.js"]);
    const isOpen = (path: string) => open.has(path) || /^\/(?:docs|problems|$)/.test(path) || path === "/demo/json";
    for (const { method, path } of room.server.app.routes) {
      const url = `${room.url}${path.replace(/:\w+/g, "1")}`;
      for (const headers of [{}, { authorization: "wrong" }]) {
        const { status } = await fetch(url, { method, headers });
        expect([path, status === 401]).toEqual([path, !isOpen(path)]);
      }
    }
  });

  test("keeps the keys out of its answers and the log", async () => {
    for (const { method, path } of room.server.app.routes) {
      const response = await fetch(`${room.url}${path.replace(/:\w+/g, "1")}?token=${goodKey}&x=${goodKey}`, {
        method,
        headers: { authorization: `Bearer ${goodKey}`, "x-api-key": goodKey, cookie: goodKey },
      });
      expect(await response.text()).not.toContain(goodKey);
      expect(JSON.stringify([...response.headers])).not.toContain(goodKey);
    }
    expect(room.lines.join("\n")).not.toContain(goodKey);
    expect(room.log.lines().join("\n")).not.toContain(goodKey);
  });
});
