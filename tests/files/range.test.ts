import { expect, test } from "bun:test";
import { parseRange, type RangeAnswer } from "../../src/files/range.ts";

const part = (start: number, end: number): RangeAnswer => ({ kind: "part", start, end });
const whole: RangeAnswer = { kind: "whole" };
const none: RangeAnswer = { kind: "unsatisfiable" };

const cases: [header: string | null, size: number, answer: RangeAnswer][] = [
  [null, 100, whole],
  ["", 100, whole],
  ["bytes=0-0", 100, part(0, 0)],
  ["bytes=0-", 100, part(0, 99)],
  ["bytes=10-19", 100, part(10, 19)],
  ["bytes=99-", 100, part(99, 99)],
  ["bytes=50-1000", 100, part(50, 99)],
  ["BYTES=1-2", 100, part(1, 2)],
  ["bytes = 1-2 ", 100, part(1, 2)],
  ["bytes=0-99999999999999999999999999", 100, part(0, 99)],
  ["bytes=-1", 100, part(99, 99)],
  ["bytes=-100", 100, part(0, 99)],
  ["bytes=-5000", 100, part(0, 99)],
  ["bytes=-0", 100, none],
  ["bytes=100-", 100, none],
  ["bytes=100-200", 100, none],
  ["bytes=99999999999999999999-", 100, none],
  ["bytes=0-", 0, none],
  ["bytes=0-0", 0, none],
  ["bytes=-5", 0, whole],
  ["bytes=20-10", 100, whole],
  ["bytes=-", 100, whole],
  ["bytes=", 100, whole],
  ["bytes", 100, whole],
  ["bytes=a-b", 100, whole],
  ["bytes=1-2,4-5", 100, whole],
  ["bytes=1-2,", 100, whole],
  ["bytes=+1-2", 100, whole],
  ["bytes=1 - 2", 100, whole],
  ["bytes=1.5-2", 100, whole],
  ["bytes=0x1-2", 100, whole],
  ["bytes=--5", 100, whole],
  ["lines=1-2", 100, whole],
  ["bytes=1-2\r\nX: y", 100, whole],
  ["bytes=٣-٤", 100, whole],
];

test.each(cases)("the range %p of %d bytes is read as RFC 9110 says", (header, size, answer) => {
  expect(parseRange(header, size)).toEqual(answer);
});
