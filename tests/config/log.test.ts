import { expect, test } from "bun:test";
import { createLog, type LogLevel } from "../../src/log.ts";

function logOf(level: LogLevel, maxLines: number) {
  const written: string[] = [];
  return { log: createLog({ level, maxLines, write: (line) => written.push(line) }), written };
}

test("a log keeps its last lines in words, oldest first", () => {
  const { log } = logOf("info", 3);
  for (const n of [1, 2, 3, 4, 5]) log.info("step", { n });
  log.keep("warn", "said alone");
  expect(log.lines().map((line) => line.replace(/^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] /, ""))).toEqual([
    "[INFO] step n=4",
    "[INFO] step n=5",
    "[WARN] said alone",
  ]);
});

test("a line that is kept is bounded, and one that is written is one line of JSON", () => {
  const { log, written } = logOf("info", 10);
  log.error("long", { text: `${"x".repeat(10_000)}\nnext`, fault: new Error("outer", { cause: new Error("inner") }) });
  expect(log.lines()[0]?.length).toBeLessThan(2_100);
  expect(written).toHaveLength(1);
  expect(written[0]).not.toContain("\n");
  expect(JSON.parse(written[0] ?? "")).toMatchObject({
    level: "error",
    event: "long",
    fault: "Error: outer (because inner)",
  });
});

test("a log below its level says and keeps nothing", () => {
  const { log, written } = logOf("warn", 10);
  log.info("quiet");
  log.debug("quiet");
  log.warn("loud");
  expect(written.map((line) => JSON.parse(line).event)).toEqual(["loud"]);
  expect(log.lines()).toHaveLength(1);
});
