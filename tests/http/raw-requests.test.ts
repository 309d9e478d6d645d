import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { goodKey, openRoom, type Room } from "./room.ts";
import { sendRaw } from "./raw.ts";

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room[Symbol.asyncDispose]());
beforeEach(() => {
  room.ran.length = 0;
});

const get = (path: string, ...headers: string[]) => [`GET ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`];

/** H1: the guarded path dressed so that a router that looks in another place finds it. */
const confusing: [string, string[]][] = [
  ["a path behind the eleventh character", get("/xxxxxxxxxxxxxxx/demo/internal/1", "Host: a")],
  ["the same with a one-letter segment", get("/x/demo/internal/1", "Host: a")],
  ["a host with a slash", get("/demo/internal/1", "Host: a/b")],
  ["a host with a path and a user", get("/demo/internal/1", "Host: a/b@c:99")],
  ["a host that is a path", get("/x", "Host: /demo/internal/1")],
  ["a host that ends in a path", get("/x", "Host: a/demo/internal/1")],
  ["a host with a question mark", get("/demo/internal/1", "Host: a?b")],
  ["a host with a path before a question mark", get("/x", "Host: a/demo/internal/1?")],
  ["a host with a fragment", get("/demo/internal/1", "Host: a#b")],
  ["a host with a backslash", get("/demo/internal/1", "Host: a\\b")],
  ["a host with a space", get("/demo/internal/1", "Host: a b")],
  ["a host with a comma", get("/demo/internal/1", "Host: a,b")],
  ["a host with a user", get("/demo/internal/1", "Host: u:p@a")],
  ["an empty host", get("/demo/internal/1", "Host: ")],
  ["a host that is not ASCII", get("/demo/internal/1", "Host: \u00fc")],
  ["an escaped slash in the host", get("/demo/internal/1", "Host: a%2fb")],
  ["a host with a bad port", get("/demo/internal/1", "Host: a:b")],
  ["a host with a port of six digits", get("/demo/internal/1", "Host: a:123456")],
  ["a host of 300 characters", get("/demo/internal/1", `Host: ${"a".repeat(300)}`)],
  ["a broken IPv6 host", get("/demo/internal/1", "Host: [::1")],
  ["two hosts", get("/demo/internal/1", "Host: a", "Host: b")],
  ["two equal hosts", get("/demo/internal/1", "Host: a", "Host: a")],
  ["HTTP/1.0 without a host", ["GET /demo/internal/1 HTTP/1.0\r\n\r\n"]],
  ["HTTP/1.0 with the path behind the eleventh character", ["GET /xxxxxxx/demo/internal/1 HTTP/1.0\r\n\r\n"]],
  ["an absolute form of another host", get("http://evil/demo/internal/1", "Host: a")],
  ["an absolute form with a user", get("http://u:p@evil/demo/internal/1", "Host: a")],
  ["two slashes", get("//demo/internal/1", "Host: a")],
  ["dots that climb", get("/demo/open/../internal/1", "Host: a")],
  ["escaped dots that climb", get("/demo/open/%2e%2e/internal/1", "Host: a")],
  ["an escaped letter", get("/demo/%69nternal/1", "Host: a")],
  [
    "a forwarded host and URL",
    get("/x", "Host: a", "X-Original-URL: /demo/internal/1", "X-Rewrite-URL: /demo/internal/1"),
  ],
  ["another method by header", get("/demo/internal/1", "Host: a", "X-HTTP-Method-Override: OPEN")],
  ["the form of CONNECT", ["CONNECT 1234567a/demo/internal/1 HTTP/1.1\r\nHost: a\r\n\r\n"]],
];

describe("a request made to confuse routers", () => {
  test.each(confusing)("reaches no guarded handler: %s", async (_name, parts) => {
    const answer = await sendRaw(room.port, parts);
    expect(room.ran).toEqual([]);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
  });

  test("is told from a plain one, which is served with its key alone", async () => {
    for (const host of ["a", "A.example", "127.0.0.1:8080", "[::1]", "[::1]:80", "a_b", "x-y.z:80"]) {
      const without = await sendRaw(room.port, get("/demo/internal/1", `Host: ${host}`));
      const withKey = await sendRaw(room.port, get("/demo/internal/1", `Host: ${host}`, `Authorization: ${goodKey}`));
      expect([host, without.status, withKey.status]).toEqual([host, 401, 200]);
    }
  });
});

const post = (...headers: string[]) => `POST /demo/json HTTP/1.1\r\nHost: a\r\n${headers.join("\r\n")}\r\n\r\n`;
const chunked = (body: string) => [`${post("Transfer-Encoding: chunked")}${body}`];

/** H2: none of these is HTTP that means one thing. */
const malformed: [string, (string | Uint8Array)[]][] = [
  ["a method that is none", ["G E T / HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["a method in small letters", ["get /demo/open HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["an unknown method", ["BREW /demo/open HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["a method of 1 kB", [`${"A".repeat(1_000)} / HTTP/1.1\r\nHost: a\r\n\r\n`]],
  ["no version", ["GET /demo/open\r\nHost: a\r\n\r\n"]],
  ["version 0.9", ["GET /demo/open HTTP/0.9\r\nHost: a\r\n\r\n"]],
  ["version 1.2", ["GET /demo/open HTTP/1.2\r\nHost: a\r\n\r\n"]],
  ["version 2.0", ["GET /demo/open HTTP/2.0\r\nHost: a\r\n\r\n"]],
  ["the start of HTTP/2", ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]],
  ["the start of TLS", [new Uint8Array([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0])]],
  ["a version that is none", ["GET /demo/open HTTX/1.1\r\nHost: a\r\n\r\n"]],
  ["a version in small letters", ["GET /demo/open http/1.1\r\nHost: a\r\n\r\n"]],
  ["no path", ["GET  HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["a path without a slash", ["GET demo/open HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["an asterisk", ["GET * HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["a control character in the path", ["GET /demo/\x01open HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["NUL in the path", ["GET /demo/open\x00 HTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["a tab in the request line", ["GET\t/demo/open\tHTTP/1.1\r\nHost: a\r\n\r\n"]],
  ["a path of 20 kB", [`GET /demo/${"a".repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`]],
  ["no host", ["GET /demo/open HTTP/1.1\r\n\r\n"]],
  ["a header without a colon", get("/demo/open", "Host: a", "X-Header")],
  ["a header without a name", get("/demo/open", "Host: a", ": value")],
  ["a space before the colon", get("/demo/open", "Host: a", "X-Header : value")],
  ["a space in a header's name", get("/demo/open", "Host: a", "X Header: value")],
  ["a folded header", get("/demo/open", "Host: a", "X-Header: one\r\n two")],
  ["a first header that is folded", ["GET /demo/open HTTP/1.1\r\n Host: a\r\n\r\n"]],
  ["NUL in a header", get("/demo/open", "Host: a", "X-Header: a\x00b")],
  ["a carriage return in a header", get("/demo/open", "Host: a", "X-Header: a\rb")],
  ["a control character in a header's name", get("/demo/open", "Host: a", "X-\x01: a")],
  ["line feeds alone", ["GET /demo/open HTTP/1.1\nHost: a\n\n"]],
  ["a header of 64 kB", get("/demo/open", "Host: a", `X-Header: ${"a".repeat(65_536)}`)],
  ["1,000 headers", get("/demo/open", "Host: a", ...Array.from({ length: 1_000 }, (_, at) => `X-${at}: a`))],
  ["a length and chunks", [`${post("Content-Length: 5", "Transfer-Encoding: chunked")}0\r\n\r\n`]],
  ["chunks and a length", [`${post("Transfer-Encoding: chunked", "Content-Length: 5")}0\r\n\r\n`]],
  ["two different lengths", [`${post("Content-Length: 2", "Content-Length: 3")}{}`]],
  ["a list of lengths", [`${post("Content-Length: 2, 3")}{}`]],
  ["a negative length", [`${post("Content-Length: -1")}{}`]],
  ["a length with a plus", [`${post("Content-Length: +2")}{}`]],
  ["a length in hex", [`${post("Content-Length: 0x2")}{}`]],
  ["a length that is no number", [`${post("Content-Length: two")}{}`]],
  ["a length of 30 digits", [`${post(`Content-Length: ${"9".repeat(30)}`)}{}`]],
  ["chunks of an unknown coding", [`${post("Transfer-Encoding: gzip, chunked, identity")}2\r\n{}\r\n0\r\n\r\n`]],
  ["chunks hidden behind a tab", [`${post("Transfer-Encoding:\x0bchunked")}2\r\n{}\r\n0\r\n\r\n`]],
  ["a chunk whose size is no number", chunked("zz\r\n{}\r\n0\r\n\r\n")],
  ["a chunk with a negative size", chunked("-2\r\n{}\r\n0\r\n\r\n")],
  ["a chunk that is longer than it says", chunked("2\r\n{}}}}}\r\n0\r\n\r\n")],
  ["a chunk of a size beyond numbers", chunked("fffffffffffffffff\r\n{}\r\n0\r\n\r\n")],
  ["a chunk that ends in a line feed", chunked("2\n{}\n0\n\n")],
];

describe("malformed HTTP", () => {
  test.concurrent.each(malformed)("is neither served nor a failure of ours: %s", async (_name, parts) => {
    const { status, text } = await sendRaw(room.port, parts, 1_500);
    expect(text).not.toContain('"ran"');
    expect(text).not.toContain('"read"');
    expect(status >= 200 && status < 300).toBe(false);
    // 501 and 505 are the parser's words for methods, codings and versions that it does not know.
    expect(status >= 500 && ![501, 505].includes(status)).toBe(false);
  });

  test("is told from plain HTTP by the same means", async () => {
    const plain = [
      await sendRaw(room.port, get("/demo/open", "Host: a")),
      await sendRaw(room.port, [`${post("Content-Length: 2")}{}`]),
      await sendRaw(room.port, chunked("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")),
      await sendRaw(room.port, [post("Content-Length: 2"), "{", "}"]),
    ];
    expect(plain.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });
});
