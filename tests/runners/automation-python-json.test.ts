import { describe, expect, test } from "bun:test";
import { PythonFloat, parsePythonJson, pythonJson } from "../../src/runners/automation/python-json.ts";

/** JSON texts and what `json.dumps(json.loads(text), sort_keys=True)` of Python 3.11 writes for them. */
const known: [string, string][] = [
  [
    '{"full_name":["Aliçe Doe"],"email":["alice@example.com"]}',
    '{"email": ["alice@example.com"], "full_name": ["Ali\\u00e7e Doe"]}',
  ],
  ["[1,1.0,1e0,10,1E2,-0,-0.0,0.1]", "[1, 1.0, 1.0, 10, 100.0, 0, -0.0, 0.1]"],
  [
    "[1e16,123456789012345680.0,1e15,0.0001,0.00001,5e-324,1.7976931348623157e308]",
    "[1e+16, 1.2345678901234568e+17, 1000000000000000.0, 0.0001, 1e-05, 5e-324, 1.7976931348623157e+308]",
  ],
  [
    "[12345678901234567890123,-9007199254740993,1e400,-1e400]",
    "[12345678901234567890123, -9007199254740993, Infinity, -Infinity]",
  ],
  ['["\\u007f\\u0000\\b\\f\\n\\r\\t\\"\\\\/\\u2028é"]', '["\\u007f\\u0000\\b\\f\\n\\r\\t\\"\\\\/\\u2028\\u00e9"]'],
  ['["😀","\\ud83d\\ude00","\\ud800"]', '["\\ud83d\\ude00", "\\ud83d\\ude00", "\\ud800"]'],
  [
    '{"😀":1,"\\uffff":2,"\\ud800":3,"":4,"a":5,"B":6,"10":7,"9":8}',
    '{"": 4, "10": 7, "9": 8, "B": 6, "a": 5, "\\ud800": 3, "\\uffff": 2, "\\ud83d\\ude00": 1}',
  ],
  ['{"b":{"z":null,"a":[true,false,[],{}]},"a":""}', '{"a": "", "b": {"a": [true, false, [], {}], "z": null}}'],
  ['{"a":1,"a":2,"__proto__":3,"constructor":[]}', '{"__proto__": 3, "a": 2, "constructor": []}'],
];

const python = Bun.which("python3");

describe("pythonJson", () => {
  test.each(known)("writes %s as Python does", (text, expected) => {
    expect(pythonJson(parsePythonJson(text))).toBe(expected);
  });

  test("takes whole numbers as ints and says so of floats only when it is told", () => {
    expect(pythonJson({ a: [1, 1.5, -0, new PythonFloat(1), 10n, 1e21] })).toBe(
      '{"a": [1, 1.5, 0, 1.0, 10, 1000000000000000000000]}',
    );
  });

  test("leaves out keys without a value and refuses what JSON cannot hold", () => {
    expect(pythonJson({ a: undefined, b: 1 })).toBe('{"b": 1}');
    expect(() => pythonJson([() => 1])).toThrow(TypeError);
    expect(() => pythonJson([undefined])).toThrow(TypeError);
    const endless: unknown[] = [];
    endless.push(endless);
    expect(() => pythonJson(endless)).toThrow("nested deeper");
  });

  test.skipIf(python === null)("agrees with the Python of this machine on everything nasty", async () => {
    const texts = [...known.map(([text]) => text), ...generatedTexts(400)];
    const program = "import json,sys\nfor t in json.load(sys.stdin): print(json.dumps(json.loads(t), sort_keys=True))";
    const child = Bun.spawn([python ?? "", "-c", program], {
      stdin: new Blob([JSON.stringify(texts)]),
      stdout: "pipe",
    });
    const expected = (await child.stdout.text()).trimEnd().split("\n");
    expect(expected).toHaveLength(texts.length);
    expect(texts.map((text) => pythonJson(parsePythonJson(text)))).toEqual(expected);
  });
});

/** The same texts in every run: numbers of every size and form, strings of every plane, nested and keyed by each other. */
function generatedTexts(count: number): string[] {
  let seed = 20_260_101;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  const number = () => {
    const digits = String(random(2_000_000_000)) + (random(3) === 0 ? String(random(2_000_000_000)) : "");
    const whole = String(BigInt(digits));
    const fraction = random(2) === 0 ? `.${random(1_000_000)}` : "";
    const exponent = random(3) === 0 ? `e${random(2) === 0 ? "-" : ""}${random(330)}` : "";
    return `${random(2) === 0 ? "-" : ""}${whole}${fraction}${exponent}`;
  };
  const planes = [0x20, 0x80, 0x800, 0x2000, 0xfff0, 0x1f600, 0x10ff00];
  const string = () =>
    JSON.stringify(
      String.fromCodePoint(
        ...Array.from({ length: random(6) }, () => (planes[random(planes.length)] ?? 0) + random(64)),
      ),
    );
  const value = (depth: number): string => {
    const kind = random(depth > 3 ? 3 : 5);
    if (kind === 0) return number();
    if (kind === 1) return string();
    if (kind === 2) return ["null", "true", "false"][random(3)] ?? "null";
    const items = Array.from({ length: random(5) }, () => value(depth + 1));
    return kind === 3 ? `[${items.join(",")}]` : `{${items.map((item) => `${string()}:${item}`).join(",")}}`;
  };
  return Array.from({ length: count }, () => value(0));
}
