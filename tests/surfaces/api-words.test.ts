import { describe, expect, test } from "bun:test";
import type { JobView } from "../../src/engine/job-view.ts";
import { createCursors } from "../../src/surfaces/api/cursor.ts";
import { fingerprintOf } from "../../src/surfaces/api/fingerprint.ts";
import { jobBody } from "../../src/surfaces/api/job-body.ts";
import { preferenceApplied, readPreferences } from "../../src/surfaces/api/prefer.ts";
import { createApiRender } from "../../src/surfaces/api/render.ts";
import { isJobId } from "../../src/surfaces/api/wire.ts";

const job: JobView = {
  id: "a:b",
  surface: "optexity",
  runner: "automation",
  status: "succeeded",
  priority: 1,
  client: "key:1",
  tags: [],
  created_at: "2026-08-06T12:00:00.001Z",
  queued_at: null,
  started_at: "2026-08-06T12:00:00.002Z",
  finished_at: "2026-08-06T12:00:00.003Z",
  attempts: 1,
  max_attempts: 2,
  held: false,
  input: {},
  result: 7,
  error: null,
  tasks: [],
  payload: null,
  dedup_key: null,
  webhook: null,
  details: { secure_parameters: "hush" },
  last_seq: 9,
};

describe("a job", () => {
  test("is shown without what its protocol keeps to itself", () => {
    expect(JSON.stringify(jobBody(job, ""))).not.toContain("hush");
  });

  test("links to where the service is known to be", () => {
    expect(jobBody(job, "").links.self).toBe("/api/v1/jobs/a%3Ab");
    expect(jobBody(job, "https://jobs.example.com").links.events).toBe(
      "https://jobs.example.com/api/v1/jobs/a%3Ab/events",
    );
  });

  test("is told to receivers with its type and time", () => {
    const render = createApiRender("https://jobs.example.com/");
    const told = (event: "started" | "output" | "completed") => JSON.parse(render(event, job).body);
    expect(told("completed")).toEqual({
      type: "job.completed",
      timestamp: job.finished_at,
      data: jobBody(job, "https://jobs.example.com"),
    });
    expect(told("started")).toMatchObject({ type: "job.started", timestamp: job.started_at });
    const self = "https://jobs.example.com/api/v1/jobs/a%3Ab";
    expect(told("output").data).toEqual({
      id: "a:b",
      status: "succeeded",
      last_event: 9,
      links: { self, events: `${self}/events` },
    });
  });
});

test.each<[string | null, number | null, boolean]>([
  [null, null, false],
  ["wait=10", 10, false],
  ["WAIT = 10", 10, false],
  ['wait="10"', 10, false],
  ["wait=10, wait=20", 10, false],
  ["respond-async, wait=5", 5, true],
  ["respond-async; x=y,foo=bar", null, true],
  ["wait", null, false],
  ["wait=1.5", null, false],
  ["wait=99999999999", null, false],
])("Prefer: %p means waiting %p s, async %p", (header, waitS, respondAsync) => {
  expect(readPreferences(header)).toEqual({ waitS, respondAsync });
});

test("what was granted is said, and nothing when nothing was asked", () => {
  expect(preferenceApplied({ waitS: 600, respondAsync: false }, 300_000)).toBe("wait=300");
  expect(preferenceApplied({ waitS: null, respondAsync: true }, 0)).toBe("respond-async");
  expect(preferenceApplied({ waitS: null, respondAsync: false }, 0)).toBeNull();
});

test("a fingerprint is of what was asked, not of how it was written", () => {
  const file = (name: string, sha256: string) => ({ name, sha256, bytes: 1 });
  const one = fingerprintOf({ a: 1, b: { c: [1, 2], d: null } }, [file("x", "1"), file("y", "2")]);
  expect(fingerprintOf({ b: { d: null, c: [1, 2] }, a: 1 }, [file("y", "2"), file("x", "1")])).toBe(one);
  for (const [body, files] of [
    [{ a: 1, b: { c: [2, 1], d: null } }, [file("x", "1"), file("y", "2")]],
    [{ a: "1", b: { c: [1, 2], d: null } }, [file("x", "1"), file("y", "2")]],
    [{ a: 1, b: { c: [1, 2] } }, [file("x", "1"), file("y", "2")]],
    [{ a: 1, b: { c: [1, 2], d: null } }, [file("x", "2"), file("y", "1")]],
    [{ a: 1, b: { c: [1, 2], d: null } }, [file("x", "1")]],
  ] as const)
    expect(fingerprintOf(body, files)).not.toBe(one);
});

test("cursors of another secret are refused", () => {
  const position = { createdAt: "2026-08-06T12:00:00.001Z", id: "x y" };
  const [one, other] = [createCursors(new Uint8Array(32)), createCursors(new Uint8Array(32).fill(1))];
  const text = one.write({ ...position, id: "x" }, {});
  expect(one.read(text, {})).toEqual({ ...position, id: "x" });
  expect(() => other.read(text, {})).toThrow("not a cursor");
});

test.each([
  ["a", true],
  ["0199f3a2-7c41-7000-8a34-0d5f1c1e7b10", true],
  ["A.b_c:d-9", true],
  ["...", true],
  ["", false],
  [".", false],
  ["..", false],
  ["a b", false],
  ["a/b", false],
  ["a\n", false],
  ["ü", false],
  ["x".repeat(129), false],
])("%p can be an id: %p", (text, expected) => {
  expect(isJobId(text)).toBe(expected);
});
