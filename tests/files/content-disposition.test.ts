import { expect, test } from "bun:test";
import { contentDisposition } from "../../src/files/content-disposition.ts";

test("a plain name is sent as it is", () => {
  expect(contentDisposition("out.txt")).toBe('attachment; filename="out.txt"');
  expect(contentDisposition("a b (1).txt", "inline")).toBe('inline; filename="a b (1).txt"');
});

test("a name beyond ASCII is sent in both forms", () => {
  expect(contentDisposition("sub/naïve€ 'x'.txt")).toBe(
    "attachment; filename=\"na_ve_ 'x'.txt\"; filename*=UTF-8''na%C3%AFve%E2%82%AC%20%27x%27.txt",
  );
});

test("nothing in a name ends the header or the quotes", () => {
  const hostile = [
    'a"b',
    "a\\b",
    "a\r\nSet-Cookie: x=1",
    "a\0b",
    "\ud800",
    "\u202egnp.exe",
    "%41",
    "*",
    "",
    "dir/",
    "\u009b1m",
  ];
  for (const name of hostile) {
    const header = contentDisposition(name);
    expect(header).toMatch(/^attachment; filename="[^"\\%\r\n]+"(; filename\*=UTF-8''[A-Za-z0-9%!~._-]+)?$/);
    expect(new Headers({ "content-disposition": header }).get("content-disposition")).toBe(header);
  }
});
