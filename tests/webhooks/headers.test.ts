import { expect, test } from "bun:test";
import { EngineError } from "../../src/errors.ts";
import { checkHeaders, mergeHeaders } from "../../src/webhooks/headers.ts";

const numbered = (count: number, value = "v") =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`X-${index}`, value]));

const refused: [string, unknown, string][] = [
  ...[
    "Host",
    "CONNECTION",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
    "Trailer",
    "Keep-Alive",
  ].map((name): [string, unknown, string] => [
    `${name}, which steers the connection`,
    { [name]: "x" },
    `/headers/${name}`,
  ]),
  ...[
    "Proxy-Authorization",
    "proxy-connection",
    "Webhook-Id",
    "webhook-signature",
    "WEBHOOK-TIMESTAMP",
    "webhook-anything",
  ].map((name): [string, unknown, string] => [`${name}, which is not a client's`, { [name]: "x" }, `/headers/${name}`]),
  ["a name with a line break", { "X-A\r\nHost": "x" }, "/headers/X-AHost"],
  ["a name with a space", { "X A": "x" }, "/headers/X A"],
  ["a name with a colon", { "X:A": "x" }, "/headers/X:A"],
  ["a name with a slash and a tilde", { "X/~": "x" }, "/headers/X~1~0"],
  ["an empty name", { "": "x" }, "/headers/"],
  ["a name beyond ASCII", { "X-É": "x" }, "/headers/X-É"],
  ["a name of 129 characters", { ["x".repeat(129)]: "x" }, `/headers/${"x".repeat(128)}`],
  ["one name in two spellings", { "X-A": "1", "x-a": "2" }, "/headers/X-A"],
  ["a value with CR LF", { "X-A": "a\r\nHost: evil" }, "/headers/X-A"],
  ["a value with LF", { "X-A": "a\nb" }, "/headers/X-A"],
  ["a value with NUL", { "X-A": "a\0b" }, "/headers/X-A"],
  ["a value with DEL", { "X-A": "a\u007fb" }, "/headers/X-A"],
  ["a value beyond ASCII", { "X-A": "é" }, "/headers/X-A"],
  ["a value with white space around", { "X-A": " a" }, "/headers/X-A"],
  ["a value that is an object", { "X-A": { b: 1 } }, "/headers/X-A"],
  ["a value that is null", { "X-A": null }, "/headers/X-A"],
  ["21 headers", numbered(21), "/headers"],
  ["more than 8 KiB", { "X-A": "a".repeat(8_192) }, "/headers"],
  ["more than 8 KiB together", numbered(20, "a".repeat(420)), "/headers"],
  ["a list", ["X-A: 1"], "/headers"],
  ["a text", "X-A: 1", "/headers"],
  ["null", null, "/headers"],
];

test.each(refused)("headers with %s are refused with a pointer", (_, given, pointer) => {
  const refusal = refusalOf(given);
  expect(refusal.code).toBe("invalid");
  expect(refusal.options.problems?.map((problem) => problem.pointer)).toContain(pointer);
});

test("a refusal shows no value", () => {
  const refusal = refusalOf({ Authorization: "Bearer s3cret\n", "X-A": "s3cret\0" });
  expect(refusal.options.problems).toHaveLength(2);
  expect(JSON.stringify([refusal.message, refusal.options.problems])).not.toContain("s3cret");
});

const taken: [string, unknown, Record<string, string>][] = [
  ["none", {}, {}],
  [
    "those of a client of Andera",
    { Authorization: "Bearer my-token", "X-Custom-Header": "value" },
    { Authorization: "Bearer my-token", "X-Custom-Header": "value" },
  ],
  [
    "its own type and agent",
    { "Content-Type": "text/plain", "user-agent": "me" },
    { "Content-Type": "text/plain", "user-agent": "me" },
  ],
  ["numbers and booleans", { "X-N": 5, "X-B": true }, { "X-N": "5", "X-B": "true" }],
  ["an empty value and a tab inside", { "X-E": "", "X-T": "a\tb" }, { "X-E": "", "X-T": "a\tb" }],
  ["twenty", numbered(20), numbered(20)],
  ["every character of a token", { "!#$%&'*+-.^_`|~09az": "x" }, { "!#$%&'*+-.^_`|~09az": "x" }],
];
test.each(taken)("headers with %s are taken", (_, given, expected) => {
  expect(checkHeaders(given, "/headers")).toEqual(expected);
});

test("a name that objects know is only a name", () => {
  const headers = checkHeaders(JSON.parse('{"__proto__":"a","constructor":"b"}'), "/headers");
  expect(Object.entries(mergeHeaders(headers))).toEqual([
    ["__proto__", "a"],
    ["constructor", "b"],
  ]);
  expect(new Headers(headers).get("__proto__")).toBe("a");
});

test("of two sets of headers the later one wins, whatever the spelling", () => {
  expect(
    mergeHeaders(
      { "Content-Type": "application/json", "User-Agent": "Andera" },
      { "x-team": "ops" },
      { "USER-AGENT": "me" },
    ),
  ).toEqual({
    "Content-Type": "application/json",
    "x-team": "ops",
    "USER-AGENT": "me",
  });
});

function refusalOf(given: unknown): EngineError {
  try {
    checkHeaders(given, "/headers");
  } catch (fault) {
    if (fault instanceof EngineError) return fault;
    throw fault;
  }
  throw new Error(`nothing was refused in ${JSON.stringify(given)}`);
}
