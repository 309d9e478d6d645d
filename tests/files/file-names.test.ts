import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../../src/errors.ts";
import { receiveMultipart } from "../../src/files/multipart.ts";
import { bodyOf, openBelow, scratch, stagingIn } from "./scratch.ts";

const directory = scratch();
const limits = { bytesMax: 1_000, filesMax: 10, fieldBytesMax: 1_000, fieldsMax: 10 };
const long = "n".repeat(255);

/** What stands after `name="f"; ` in the part's header, and the name that is kept. */
const kept: [parameters: string, name: string][] = [
  ['filename="run.sh"', "run.sh"],
  ["filename=run.sh", "run.sh"],
  ['FileName="run.sh"', "run.sh"],
  ['filename = "run.sh"', "run.sh"],
  ['filename="a/run.sh"', "run.sh"],
  ['filename="../run.sh"', "run.sh"],
  ['filename="../../../../etc/passwd"', "passwd"],
  ['filename="/etc/cron.d/x"', "x"],
  ['filename="C:\\dir\\run.sh"', "run.sh"],
  ['filename="..\\..\\run.sh"', "run.sh"],
  ['filename="..\\\\..\\\\run.sh"', "run.sh"],
  ['filename="a\\/b"', "b"],
  ['filename="%2e%2e%2frun.sh"', "%2e%2e%2frun.sh"],
  ['filename="%00"', "%00"],
  ['filename="a%0d%0ab"', "a%0d%0ab"],
  ['filename="say \\"hi\\".txt"', 'say "hi".txt'],
  ['filename="a;b=c.txt"', "a;b=c.txt"],
  ['filename="-rf"', "-rf"],
  ['filename="--checkpoint-action=exec=sh x"', "--checkpoint-action=exec=sh x"],
  ['filename="CON"', "CON"],
  ['filename="trailing."', "trailing."],
  ['filename="trailing "', "trailing "],
  ['filename=" leading"', " leading"],
  ['filename="..."', "..."],
  ['filename=".hidden"', ".hidden"],
  ['filename="~root"', "~root"],
  ['filename="*?[a]$(id)`id`"', "*?[a]$(id)`id`"],
  ['filename="dätä €.txt"', "dätä €.txt"],
  ['filename="e\u0301.txt"', "e\u0301.txt"],
  ['filename="\u00e9.txt"', "\u00e9.txt"],
  ['filename="日本語.csv"', "日本語.csv"],
  ['filename="a\u202egnp.exe"', "a\u202egnp.exe"],
  ['filename="zero\u200bwidth"', "zero\u200bwidth"],
  ['filename="__proto__"', "__proto__"],
  [`filename="${long}"`, long],
  [`filename="dir/${long}"`, long],
  ["filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"],
  ["filename*=utf-8'en'plain.txt", "plain.txt"],
  ["filename=\"fallback.txt\"; filename*=UTF-8''real%20one.txt", "real one.txt"],
  ["filename*=UTF-8''..%2F..%2Frun.sh", "run.sh"],
];

const refused: [parameters: string, reason: RegExp][] = [
  ['filename=""', /is empty/],
  ["filename=", /is empty/],
  ['filename="a/"', /is empty/],
  ['filename="a\\\\"', /is empty/],
  ['filename="."', /is a directory/],
  ['filename=".."', /is a directory/],
  ['filename="../.."', /is a directory/],
  ['filename="x\\.."', /is a directory/],
  ['filename="run.sh\0.txt"', /NUL/],
  ["filename*=UTF-8''run.sh%00.txt", /NUL/],
  ['filename="a\tb"', /control character/],
  ['filename="\u001b[2J"', /control character/],
  ['filename="\u009b31m"', /control character/],
  ["filename*=UTF-8''a%0Ab", /control character/],
  ["filename*=UTF-8''a%0D%0Ab", /control character/],
  ['filename="a\nb"', /Content-Disposition/],
  ['filename="a\rb"', /Content-Disposition/],
  [`filename="${long}n"`, /255 bytes/],
  [`filename="${"é".repeat(128)}"`, /255 bytes/],
  [`filename="${"x".repeat(5_000)}"`, /255 bytes/],
  ['filename="a"; filename="b"', /filename twice/],
  ["filename*=UTF-8''a; filename*=UTF-8''b", /filename\* twice/],
  ["filename*=ISO-8859-1''a%E9", /not UTF-8/],
  ["filename*=UTF-8''%FF%FE", /is not UTF-8/],
  ["filename*=UTF-8''%zz", /not UTF-8/],
  ["filename*=run.sh", /not UTF-8/],
  ['filename="unfinished', /cannot be read/],
  ['filename="a" junk', /cannot be read/],
];

afterEach(() => {
  expect(openBelow(directory)).toEqual([]);
});

test(`the table has at least 60 names: ${kept.length} kept, ${refused.length} refused`, () => {
  expect(kept.length + refused.length).toBeGreaterThanOrEqual(60);
});

test.each(kept)("a part with %j is kept under its last segment", async (parameters, name) => {
  const staging = stagingIn(directory);
  const received = await receiveMultipart(upload(parameters), staging, limits);
  expect(received.files.map((file) => file.name)).toEqual([name]);
  expect(readdirSync(staging.directory)).toEqual([name]);
  expect(readFileSync(join(staging.directory, name), "utf8")).toBe("content");
  await staging.discard();
});

test.each(refused)("a part with %j is refused and nothing is kept", async (parameters, reason) => {
  const staging = stagingIn(directory);
  const fault = await receiveMultipart(upload(parameters), staging, limits).catch((thrown: unknown) => thrown);
  expect(fault).toBeInstanceOf(EngineError);
  expect(fault).toMatchObject({ code: "invalid", message: expect.stringMatching(reason) });
  expect(existsSync(staging.directory)).toBe(false);
});

test("a name that is not UTF-8 is refused", async () => {
  const staging = stagingIn(directory);
  const bytes = Buffer.from(form('filename="caf\u00e9"'), "latin1");
  const fault = await receiveMultipart(request(bytes), staging, limits).catch((thrown: unknown) => thrown);
  expect(fault).toMatchObject({ code: "invalid", message: "The Content-Disposition of a part is not UTF-8" });
});

test("a later part of the same name replaces the file", async () => {
  const staging = stagingIn(directory);
  const part = (name: string, content: string) =>
    `--b\r\nContent-Disposition: form-data; name="f"; filename="${name}"\r\n\r\n${content}\r\n`;
  const body = `${part("run.sh", "first, and longer")}${part("x", "1")}${part("a/run.sh", "second")}--b--\r\n`;
  const received = await receiveMultipart(request(body), staging, limits);
  expect(received.files.map(({ name, bytes }) => [name, bytes])).toEqual([
    ["x", 1],
    ["run.sh", 6],
  ]);
  expect(received.bytes).toBe(7);
  expect(readFileSync(join(staging.directory, "run.sh"), "utf8")).toBe("second");
  await staging.flushes.settled();
});

function form(parameters: string): string {
  return `--b\r\nContent-Disposition: form-data; name="f"; ${parameters}\r\n\r\ncontent\r\n--b--\r\n`;
}

function upload(parameters: string) {
  return request(form(parameters));
}

function request(body: string | Uint8Array) {
  return { headers: new Headers({ "content-type": "multipart/form-data; boundary=b" }), body: bodyOf(body) };
}
