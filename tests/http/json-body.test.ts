import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bearer, goodKey, jsonBytesMax, openRoom, type Room } from "./room.ts";

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room[Symbol.asyncDispose]());

type Body = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

async function post(body: Body, path = "/demo/json", init: RequestInit = {}) {
  const response = await fetch(`${room.url}${path}`, { method: "POST", body, ...init });
  const text = await response.text();
  return { status: response.status, text, body: text === "" ? null : JSON.parse(text) };
}

const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const bytes = (...values: number[]) => new Uint8Array(values);
const spaces = (count: number) => `${" ".repeat(count)}1`;
const chunkedSpaces = (chunks: number) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (let count = 0; count < chunks; count++) controller.enqueue(new Uint8Array(1_024).fill(0x20));
      controller.close();
    },
  });

/** H4, the part of JSON: body, status, and for those that are read, what was read. */
const cases: [string, () => Body, number, string?][] = [
  ["an object", () => '{"a":[1,"x",null,true]}', 200, '{"a":[1,"x",null,true]}'],
  ["a bare value", () => "1", 200, "1"],
  ["a byte order mark", () => '\ufeff{"a":1}', 200, '{"a":1}'],
  ["a key twice: the last counts", () => '{"a":1,"a":2}', 200, '{"a":2}'],
  ["as many bytes as allowed", () => spaces(jsonBytesMax - 1), 200, "1"],
  ["one byte more", () => spaces(jsonBytesMax), 413],
  ["more in chunks, without a length", () => chunkedSpaces(80), 413],
  ["200 levels", () => nested(200), 200, nested(200)],
  ["201 levels", () => nested(201), 400],
  ["30,000 levels", () => nested(30_000), 400],
  ["30,000 levels that never close", () => "[".repeat(30_000), 400],
  ["30,000 objects that never close", () => '{"a":'.repeat(12_000), 400],
  ["brackets in a text", () => JSON.stringify("[".repeat(1_000)), 200, JSON.stringify("[".repeat(1_000))],
  ["brackets behind an escaped quote", () => `["\\"${"[".repeat(1_000)}"]`, 200],
  ["1e400", () => '{"a":1e400}', 400],
  ["-1e400 on its own", () => "-1e400", 400],
  ["a number of 400 digits", () => `[${"9".repeat(400)}]`, 400],
  ["the largest number", () => "[1.7976931348623157e308]", 200, "[1.7976931348623157e+308]"],
  ["1e400 in a text", () => '["1e400"]', 200, '["1e400"]'],
  ["NaN", () => '{"a":NaN}', 400],
  ["__proto__ as a key", () => '{"__proto__":{"polluted":1},"a":1}', 200, '{"a":1}'],
  ["an escaped __proto__", () => '{"b":{"\\u005f_proto\\u005f_":{"polluted":1}}}', 200, '{"b":{}}'],
  [
    "constructor as a key",
    () => '{"constructor":{"prototype":{"polluted":1}}}',
    200,
    '{"constructor":{"prototype":{"polluted":1}}}',
  ],
  ["nothing", () => "", 400],
  ["half an object", () => '{"a":', 400],
  ["more than one value", () => "{} {}", 400],
  ["a comma at the end", () => '{"a":1,}', 400],
  ["single quotes", () => "{'a':1}", 400],
  ["NUL behind the value", () => "1\u0000", 400],
  ["invalid UTF-8", () => bytes(0x22, 0xff, 0xfe, 0x22), 400],
  ["half of a UTF-8 letter", () => bytes(0x22, 0xc3, 0x22), 400],
  ["UTF-8 that is longer than needed", () => bytes(0x22, 0xc0, 0xaf, 0x22), 400],
  ["UTF-16", () => bytes(0xff, 0xfe, 0x31, 0x00), 400],
];

describe("a JSON body", () => {
  const named = cases.map(([name, body, status, read]) => ({ name, body, status, read }));
  test.each(named)("with $name", async ({ body, status, read }) => {
    const answer = await post(body());
    expect(answer.status).toBe(status);
    if (read !== undefined) expect(JSON.stringify(answer.body.read)).toBe(read);
    if (status !== 200) expect(answer.body.code).toBe(status === 413 ? "too_large" : "invalid");
    expect(Reflect.get({}, "polluted")).toBeUndefined();
  });

  test("is refused by its type where the type must be JSON", async () => {
    const send = (type: string) =>
      post("{}", "/demo/typed", { headers: { ...bearer(goodKey).headers, "content-type": type } });
    const types = [
      "application/json",
      "application/json; charset=utf-8",
      "application/merge-patch+json",
      "text/plain",
      "application/jsonx",
    ];
    const statuses = await Promise.all(types.map(async (type) => (await send(type)).status));
    expect(statuses).toEqual([200, 200, 200, 415, 415]);
  });

  test("is not looked at before the caller is known", async () => {
    expect((await post("{", "/demo/typed")).status).toBe(401);
  });

  test("that ends in the middle leaves a server that serves", async () => {
    for (let count = 0; count < 20; count++) {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port: room.port, socket: { data: () => undefined } });
      socket.write("POST /demo/json HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n[1,2");
      socket.terminate();
    }
    expect((await post("[]")).body).toEqual({ read: [] });
    expect(room.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });
});
