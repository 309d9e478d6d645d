import { describe, expect, test } from "bun:test";
import { readTraceparent, traceOf } from "../../src/http/trace-context.ts";

const [traceId, parentId] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
const good = `00-${traceId}-${parentId}-01`;

describe("a traceparent", () => {
  test("of version 00 is taken as it is", () => {
    expect(readTraceparent(good)).toBe(good);
    expect(readTraceparent(`00-${traceId}-${parentId}-00`)).toBe(`00-${traceId}-${parentId}-00`);
  });

  test("of a later version is taken as far as version 00 goes", () => {
    expect(readTraceparent(`cc-${traceId}-${parentId}-01`)).toBe(good);
    expect(readTraceparent(`cc-${traceId}-${parentId}-ff-what-the-future-will-be-like`)).toBe(good);
    expect(readTraceparent(`cc-${traceId}-${parentId}-08`)).toBe(`00-${traceId}-${parentId}-00`);
  });

  test.each([
    ["no text", ""],
    ["words", "yes please"],
    ["a version that is forbidden", `ff-${traceId}-${parentId}-01`],
    ["a trace of zeros", `00-${"0".repeat(32)}-${parentId}-01`],
    ["a parent of zeros", `00-${traceId}-${"0".repeat(16)}-01`],
    ["capitals", good.toUpperCase()],
    ["more than version 00 has", `${good}-more`],
    ["a later version without a separator", `cc-${traceId}-${parentId}-01.more`],
    ["too little", `00-${traceId}-${parentId}`],
    ["two of them", `${good}, ${good}`],
    ["a trace that is too short", `00-${traceId.slice(1)}-${parentId}-01`],
    ["a line end", `${good}\n`],
  ])("that is broken by %s is as good as none", (_, header) => {
    expect(readTraceparent(header)).toBeNull();
  });

  test("of a request is what its submission carries", () => {
    expect(traceOf(new Headers({ traceparent: good }))).toEqual({ traceparent: good });
    expect(traceOf(new Headers({ traceparent: "broken" }))).toEqual({});
    expect(traceOf(new Headers())).toEqual({});
  });
});
