import { describe, expect, test } from "bun:test";
import type { SecureParameter } from "../../src/runners/automation/document-model.ts";
import { fromJson } from "../../src/runners/automation/python-value.ts";
import { type LoopFrame, Scope } from "../../src/runners/automation/substitute.ts";
import { totpCode } from "../../src/runners/automation/totp.ts";

const totp: SecureParameter = { kind: "totp", secret: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", digits: 6 };

describe("placeholders", () => {
  test.each([
    ["Hello {name[0]}, you are {age[0]}", "Hello Ann, you are 41"],
    ["{name[1]} {flag[0]} {ratio[0]}", "Bob True 1.5"],
    ["{name[7]} {nobody[0]} {none[0]} {name} {}", "{name[7]} {nobody[0]} {none[0]} {name} {}"],
    [
      "{reply.status_code} {reply.body.items[1].id} {reply.body.items} {reply.body.nope}",
      '200 x [1,{"id":"x"}] {reply.body.nope}',
    ],
    ["{{name[0]}} $&", "{Ann} $&"],
    ["{quoted[0]}", '{name[0]} "$&"'],
  ])("in %s become values, and stay where there is none", (text, filled) => {
    expect(scope().fill(text)).toBe(filled);
  });

  test("are bound by the loops around them, the inner index by the loop over that list", async () => {
    const values = scope();
    const rows: LoopFrame = { indexName: "row", index: 2, locator: 'get_by_role("row")' };
    const names: LoopFrame = { indexName: "index", index: 1, variables: ["name", "age"] };
    const text = "{name[index]} {index} {index_of(name)} {row} {locator[row]}.first {age[index]}";
    const filled = await values.within(rows, () => values.within(names, () => Promise.resolve(values.fill(text))));
    expect(filled).toBe('Bob 1 1 2 get_by_role("row").nth(2).first 42');
    expect(values.fill("{index}")).toBe("{index}");
  });

  test("of two loops with the same index name belong to their own lists", async () => {
    const values = scope();
    const outer: LoopFrame = { indexName: "index", index: 1, variables: ["name"] };
    const inner: LoopFrame = { indexName: "index", index: 0, variables: ["age"] };
    const filled = await values.within(outer, () =>
      values.within(inner, () => Promise.resolve(values.fill("{name[index]} {age[index]} {index} {index_of(age)}"))),
    );
    expect(filled).toBe("Bob 41 1 0");
  });

  test("of secrets are filled in, and shown as stars", () => {
    const values = scope();
    const code = values.fill("{code[0]}");
    expect(code).toMatch(/^\d{6}$/);
    expect(values.shown("code {code[0]} of {name[0]}")).toBe("code *** of Ann");
    expect(values.mask(`fill("${code}") failed`)).toBe('fill("***") failed');
    expect(() => values.fill("{password[0]}")).toThrow('"password" is kept in 1Password');
    expect(values.shown("{password[0]}")).toBe("***");
  });

  test("without a value are told from placeholders that nobody knows", () => {
    const values = scope();
    expect(values.isWithoutValue("{none[0]}")).toBe(true);
    expect(values.isWithoutValue("{empty[0]}")).toBe(true);
    expect(values.isWithoutValue("{nobody[0]}")).toBe(false);
    expect(values.isWithoutValue("to {none[0]}")).toBe(false);
    expect(values.isWithoutValue("{name[0]}")).toBe(false);
  });

  test("reach into lists and objects", () => {
    expect(scope().fillDeep({ a: ["{name[0]}", 3, null], b: { c: "{age[1]}" } })).toEqual({
      a: ["Ann", 3, null],
      b: { c: "42" },
    });
  });
});

describe("one-time codes", () => {
  test.each([
    [59_000, 8, "94287082"],
    [1_111_111_109_000, 8, "07081804"],
    [1_234_567_890_000, 8, "89005924"],
    [20_000_000_000_000, 8, "65353130"],
    [59_000, 6, "287082"],
  ])("at %d ms are those of RFC 6238", (nowMs, digits, code) => {
    expect(totpCode("GEZDGNBVGY3TQOJQ GEZDGNBVGY3TQOJQ", digits, nowMs)).toBe(code);
  });

  test("need a secret in base32", () => {
    expect(() => totpCode("not base32!", 6, 0)).toThrow("base32");
  });
});

function scope(): Scope {
  const input = {
    name: ["Ann", "Bob"],
    age: [41, 42],
    flag: [true],
    ratio: [1.5],
    empty: [],
    quoted: ['{name[0]} "$&"'],
  };
  const reply = { status_code: 200, body: { items: [1, { id: "x" }] } };
  return new Scope({
    input: Object.fromEntries(Object.entries(input).map(([name, values]) => [name, fromJson(values)])),
    secure: { code: [totp], password: [{ kind: "vault", vault: "onepassword" }] },
    generated: { none: [null], reply: fromJson(reply) },
  });
}
