import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../../src/errors.ts";
import { receiveMultipart } from "../../src/files/multipart.ts";
import { bodyOf, openBelow, scratch, stagingIn } from "./scratch.ts";

const directory = scratch();
const limits = { bytesMax: 100_000, filesMax: 50, fieldBytesMax: 20_000, fieldsMax: 20 };
const boundary = "----fairlead-b";
const type = `multipart/form-data; boundary=${boundary}`;
const end = `--${boundary}--\r\n`;

afterEach(() => {
  const left = readdirSync(directory);
  for (const name of left) rmSync(join(directory, name), { recursive: true });
  expect(left).toEqual([]);
  expect(openBelow(directory)).toEqual([]);
});

describe("a well-formed upload", () => {
  const content = `echo hi\r\n--${boundary.slice(0, -1)}\r\n-\r--\n\r\n--`;
  const body = `preamble\r\n${file("run.sh", content)}${field("job", '{"id":"ü"}')}${file("empty", "")}${end}epilogue`;

  test.each([1, 2, 3, 5, 7, 11, 64, 100_000])("is read whole in chunks of %d bytes", async (step) => {
    const staging = stagingIn(directory);
    const received = await receiveMultipart(request(body, type, step), staging, limits);
    expect(received.fields).toEqual([{ name: "job", text: '{"id":"ü"}' }]);
    expect(received.files).toEqual([
      { name: "run.sh", bytes: content.length, sha256: sha256(content) },
      { name: "empty", bytes: 0, sha256: sha256("") },
    ]);
    expect(received.bytes).toBe(content.length);
    expect(readFileSync(join(staging.directory, "run.sh"), "utf8")).toBe(content);
    await staging.discard();
  });

  test("may have no parts at all", async () => {
    expect(await accepted(end)).toEqual({ files: [], fields: [], bytes: 0 });
  });

  test("may have a file without a name, and fields with odd names", async () => {
    const odd = ["__proto__", "constructor", "", "a[b]", "ключ"];
    const nameless = part('Content-Disposition: form-data; filename="x"', "1");
    const received = await accepted(`${nameless}${odd.map((name) => field(name, name)).join("")}${end}`);
    expect(received.files.map(({ name }) => name)).toEqual(["x"]);
    expect(received.fields).toEqual(odd.map((name) => ({ name, text: name })));
    expect(Object.prototype).not.toHaveProperty("polluted");
  });

  test("keeps fields of one name apart", async () => {
    const received = await accepted(`${field("a", "1")}${field("a", "2")}${end}`);
    expect(received.fields.map(({ text }) => text)).toEqual(["1", "2"]);
  });

  test("keeps a nested multipart as the text it is", async () => {
    const inner = '--inner\r\nContent-Disposition: file; filename="x"\r\n\r\ncontent\r\n--inner--\r\n';
    const outer = part(
      'Content-Disposition: form-data; name="n"\r\nContent-Type: multipart/mixed; boundary=inner',
      inner,
    );
    expect((await accepted(outer + end)).fields).toEqual([{ name: "n", text: inner }]);
  });

  test.each([
    'multipart/form-data; boundary="----fairlead-b"',
    `MULTIPART/FORM-DATA; charset=utf-8; BOUNDARY=${boundary};`,
  ])("is found by the content type %s", async (contentType) => {
    expect((await accepted(file("a", "1") + end, contentType)).files).toHaveLength(1);
  });
});

describe("a body that is not well-formed is refused:", () => {
  const cases: [what: string, body: string, message: RegExp][] = [
    ["nothing at all", "", /ends before its closing boundary/],
    ["no boundary anywhere", "just text", /ends before its closing boundary/],
    [
      "another boundary",
      `${file("a", "1").replaceAll(boundary, "other")}--other--`,
      /ends before its closing boundary/,
    ],
    ["only an opening boundary", `--${boundary}\r\n`, /ends/],
    ["cut inside the headers", `--${boundary}\r\nContent-Dispo`, /ends inside a part/],
    ["cut inside a file", file("a", "12345").slice(0, -4), /ends inside a part/],
    ["cut before the last boundary", file("a", "1"), /ends inside a part/],
    ["cut inside the last boundary", `${file("a", "1")}--${boundary}-`, /ends|Content-Disposition/],
    ["a part without headers", `--${boundary}\r\n\r\ncontent\r\n${end}`, /no Content-Disposition/],
    [
      "a part without a blank line",
      `--${boundary}\r\nContent-Disposition: form-data; name="a"\r\n${end}`,
      /no blank line/,
    ],
    ["two boundaries in a row", `--${boundary}\r\n--${boundary}\r\n${end}`, /no blank line/],
    ["a part without a disposition", part("Content-Type: text/plain", "1") + end, /no Content-Disposition/],
    ["a header without a colon", part("Content-Disposition", "1") + end, /no Content-Disposition/],
    [
      "two dispositions",
      part('Content-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"', "1") + end,
      /more than one/,
    ],
    ["another kind of disposition", part('Content-Disposition: attachment; filename="a"', "1") + end, /form-data/],
    ["neither name nor filename", part("Content-Disposition: form-data", "1") + end, /neither a name nor a filename/],
    ["a name of 2,000 bytes", field("n".repeat(2_000), "1") + end, /more than 1024 bytes/],
    ["line feeds without returns", file("a", "1").replaceAll("\r\n", "\n") + end, /ends inside a part/],
    [
      "64 kB of headers",
      part(`Content-Disposition: form-data; name="a"\r\nX: ${"x".repeat(65_536)}`, "1") + end,
      /headers/,
    ],
    [
      "5,000 headers",
      part(`${"X: 1\r\n".repeat(5_000)}Content-Disposition: form-data; name="a"`, "1") + end,
      /headers/,
    ],
    [
      "base64",
      part('Content-Disposition: form-data; name="f"; filename="a"\r\nContent-Transfer-Encoding: BASE64', "MQ==") + end,
      /transfer encoding "base64"/,
    ],
    [
      "a field that is not UTF-8",
      `${part('Content-Disposition: form-data; name="job"', "caf\u00e9")}${end}`,
      /is not UTF-8/,
    ],
  ];

  test.each(cases)("%s", async (_, body, message) => {
    for (const step of [1, 1_000, 1_000_000]) {
      const fault = await refusal(request(Buffer.from(body, "latin1"), type, step));
      expect(fault).toMatchObject({ code: "invalid", message: expect.stringMatching(message) });
    }
  });
});

describe("a content type without a usable boundary is refused:", () => {
  const types: [what: string, contentType: string | null][] = [
    ["none", null],
    ["empty", ""],
    ["another type", "text/plain"],
    ["another type with a boundary", "application/json; boundary=b"],
    ["another multipart", "multipart/mixed; boundary=b"],
    ["no boundary", "multipart/form-data"],
    ["an empty boundary", "multipart/form-data; boundary="],
    ["an empty quoted boundary", 'multipart/form-data; boundary=""'],
    ["two boundaries", "multipart/form-data; boundary=a; boundary=b"],
    ["two headers", "multipart/form-data; boundary=a, multipart/form-data; boundary=b"],
    ["71 characters", `multipart/form-data; boundary=${"b".repeat(71)}`],
    ["a space at the end", 'multipart/form-data; boundary="b "'],
    ["an open quote", 'multipart/form-data; boundary="unfinished'],
    ["a letter beyond ASCII", "multipart/form-data; boundary=a\u00e9"],
    ["10,000 separators", `multipart/form-data;${" ;".repeat(5_000)} boundary=b`],
  ];

  test.each(types)("%s", async (_, contentType) => {
    const fault = await refusal(request(end, contentType));
    expect(fault).toMatchObject({ code: "invalid", message: "Invalid `boundary` for `multipart/form-data` request" });
  });
});

describe("a limit refuses with too_large:", () => {
  const many = (count: number, one: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => one(i)).join("");
  const cases: [what: string, body: string][] = [
    ["one file too large", file("a", "x".repeat(100_001)) + end],
    ["files too large together", many(11, (i) => file(`f${i}`, "x".repeat(10_000))) + end],
    ["files that replace each other too large together", many(11, () => file("f", "x".repeat(10_000))) + end],
    ["too many files", many(51, (i) => file(`f${i}`, "")) + end],
    ["20,000 fields", many(20_000, (i) => field(`f${i}`, "1")) + end],
    ["a field too large", field("job", "x".repeat(20_001)) + end],
    ["fields too large together", many(5, (i) => field(`f${i}`, "x".repeat(5_000))) + end],
    ["an endless preamble", `${"x".repeat(3_000_000)}\r\n${end}`],
    ["an endless epilogue", `${end}${"x".repeat(3_000_000)}`],
  ];

  test.each(cases)("%s", async (_, body) => {
    expect(await refusal(request(body))).toMatchObject({ code: "too_large" });
  });

  test("a declared length is believed before a byte is read", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull() {
        throw new Error("read all the same");
      },
    });
    const headers = new Headers({ "content-type": type, "content-length": "999999999" });
    expect(await refusal({ headers, body })).toMatchObject({ code: "too_large" });
  });

  test("exactly the limit passes", async () => {
    const body = many(50, (i) => file(`f${i}`, "x".repeat(2_000))) + end;
    expect(await accepted(body)).toMatchObject({ bytes: 100_000 });
  });
});

test("a file that ends in the chunk in which it outgrows the parser's buffer is read whole", async () => {
  const content = "x\r\n-".repeat(40_000);
  const staging = stagingIn(directory);
  const wide = { ...limits, bytesMax: 1_000_000 };
  for (const step of [1_000, 65_535, 65_536, 70_000, 159_990, 160_100]) {
    const received = await receiveMultipart(request(file("a", content) + end, type, step), staging, wide);
    expect(received.files).toEqual([{ name: "a", bytes: content.length, sha256: sha256(content) }]);
  }
  await staging.discard();
});

test("a body that breaks off leaves nothing", async () => {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode(file("a", "12345").slice(0, -4))),
    pull: () => Promise.reject(new Error("connection reset")),
  });
  const fault = await refusal({ headers: new Headers({ "content-type": type }), body });
  expect(fault).toMatchObject({ code: "invalid", message: "The upload was broken off before its end" });
});

test("a request without a body is refused", async () => {
  expect(await refusal(new Request("http://x/", { method: "POST", headers: { "content-type": type } }))).toMatchObject({
    code: "invalid",
    message: "The request has no body",
  });
});

test("a refused upload stops being read", async () => {
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new TextEncoder().encode(pulled === 1 ? file("..", "1") : "x".repeat(1_000)));
    },
  });
  expect(await refusal({ headers: new Headers({ "content-type": type }), body })).toMatchObject({ code: "invalid" });
  expect(pulled).toBeLessThan(10);
});

test("mutilated bodies in uneven chunks end with a refusal or whole, never in between", async () => {
  const random = generator(20_260_917);
  const outcomes = new Set<string>();
  for (let turn = 0; turn < 400; turn += 1) {
    const staging = stagingIn(directory);
    const body = mutilate(random, uploadOf(random));
    const step = 1 + random(random(2) === 0 ? 40 : 70_000);
    const source = request(body, type, body.length / step > 3_000 ? 500 : step);
    try {
      const received = await receiveMultipart(source, staging, limits);
      expect(readdirSync(staging.directory).sort()).toEqual(received.files.map(({ name }) => name).sort());
      outcomes.add("whole");
      await staging.discard();
    } catch (fault) {
      if (!(fault instanceof EngineError)) throw fault;
      expect(existsSync(staging.directory)).toBe(false);
      outcomes.add(fault.code);
    }
  }
  expect([...outcomes].sort()).toEqual(["invalid", "too_large", "whole"]);
}, 60_000);

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function uploadOf(random: (below: number) => number): Buffer {
  const parts = Array.from({ length: random(6) }, (_, index) => {
    const content = "x\r\n-".repeat(random(random(4) === 0 ? 30_000 : 30));
    return random(3) === 0 ? field(`f${index}`, content) : file(`n${random(4)}`, content);
  });
  return Buffer.from(`${parts.join("")}${end}${"e".repeat(random(30))}`);
}

function mutilate(random: (below: number) => number, whole: Buffer): Buffer {
  const at = random(whole.length);
  const [head, tail] = [whole.subarray(0, at), whole.subarray(at)];
  const inserts = [
    `\r\n--${boundary}\r\n`,
    `\r\n--${boundary}--`,
    "\r\n\r\n",
    "\0",
    `--${boundary}`,
    `\r\n--${boundary}-`,
  ];
  switch (random(5)) {
    case 0:
      return head;
    case 1:
      return Buffer.concat([head, tail.subarray(random(50))]);
    case 2:
      return Buffer.concat([head, Buffer.from(inserts[random(inserts.length)] ?? ""), tail]);
    case 3:
      return Buffer.concat([head, Buffer.from([random(256)]), tail.subarray(1)]);
    default:
      return whole;
  }
}

function part(headers: string, content: string): string {
  return `--${boundary}\r\n${headers}\r\n\r\n${content}\r\n`;
}

function file(name: string, content: string): string {
  return part(`Content-Disposition: form-data; name="file"; filename="${name}"`, content);
}

function field(name: string, text: string): string {
  return part(`Content-Disposition: form-data; name="${name}"`, text);
}

function request(body: string | Uint8Array, contentType: string | null = type, step = 65_536) {
  return {
    headers: new Headers(contentType === null ? {} : { "content-type": contentType }),
    body: bodyOf(body, step),
  };
}

async function accepted(body: string, contentType = type) {
  const staging = stagingIn(directory);
  const received = await receiveMultipart(request(body, contentType), staging, limits);
  await staging.discard();
  return received;
}

async function refusal(source: Parameters<typeof receiveMultipart>[0]): Promise<unknown> {
  const staging = stagingIn(directory);
  const fault = await receiveMultipart(source, staging, limits).catch((thrown: unknown) => thrown);
  expect(fault).toBeInstanceOf(EngineError);
  expect(existsSync(staging.directory)).toBe(false);
  return fault;
}

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
