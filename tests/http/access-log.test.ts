import { describe, expect, test } from "bun:test";
import { createLineWriter } from "../../src/http/line-writer.ts";
import { bearer, goodKey, openRoom, type Room, type RoomOptions } from "./room.ts";

type Line = {
  event: string;
  level: string;
  method: string;
  path: string;
  status: number;
  ms: number;
  bytes: number | null;
};
type Named = Line & { client: string; request_id: string };

async function logged(
  asks: (url: string, room: Room) => Promise<unknown>,
  options: RoomOptions = {},
): Promise<Named[]> {
  await using room = await openRoom(options);
  await asks(room.url, room);
  return room.lines.map((line) => JSON.parse(line)).filter(({ event }) => event === "request");
}

describe("the access log", () => {
  test("has a line for each request, with what operators look for", async () => {
    let bytes = 0;
    const [line] = await logged(async (url) => {
      bytes = (await (await fetch(`${url}/demo/key`, bearer(goodKey))).text()).length;
    });
    expect(line).toMatchObject({ level: "info", method: "GET", path: "/demo/key", status: 200, bytes });
    expect(line?.client).toMatch(/^key:[0-9a-f]{8}$/);
    expect(line?.ms).toBeGreaterThanOrEqual(0);
    expect(line?.request_id).toMatch(/^[0-9a-f]{8}-1$/);
  });

  test("names callers without a key by their address", async () => {
    const lines = await logged(async (url) => {
      await fetch(`${url}/demo/open`);
      await fetch(`${url}/nope`);
      await fetch(`${url}/demo/key`);
    });
    expect(lines.map(({ status, client }) => [status, client])).toEqual([
      [200, "ip:127.0.0.1"],
      [404, "ip:127.0.0.1"],
      [401, "ip:127.0.0.1"],
    ]);
  });

  test("keeps queries, headers and bodies out", async () => {
    const lines = await logged(async (url) => {
      const headers = {
        authorization: "Bearer hunter2",
        "x-api-key": "hunter2",
        cookie: "a=hunter2",
        "user-agent": "hunter2",
      };
      await fetch(`${url}/demo/jobs/1?token=hunter2#hunter2`, { headers });
      await fetch(`${url}/demo/json?key=hunter2`, { method: "POST", headers, body: '"hunter2"' });
    });
    expect(lines).toHaveLength(2);
    expect(JSON.stringify(lines)).not.toContain("hunter2");
  });

  test("stays one line of JSON whatever the path holds", async () => {
    const paths = [
      '/a"b',
      "/a\\b",
      "/a%0ab",
      "/\u00e4\u{1f600}",
      "/%22%5c",
      `/${"a".repeat(5_000)}`,
      "/demo/jobs/%22%5c%0a",
    ];
    const lines = await logged(async (url, room) => {
      for (const path of paths) await fetch(`${url}${path}`);
      const { token } = await room.tokens.sign('"\\', 60);
      await fetch(`${url}/demo/jobs/${encodeURIComponent('"\\')}?token=${token}`);
    });
    expect(lines).toHaveLength(paths.length + 1);
    expect(lines.at(-1)?.client).toBe('job:"\\');
    expect(Math.max(...lines.map(({ path }) => path.length))).toBe(2_000);
  });

  test("takes the caller's request id when it is sane", async () => {
    const ids = ["trace-1.a:b_c", "x".repeat(128)];
    const odd = ["x".repeat(129), 'a"b', "a b", ""];
    const answered: (string | null)[] = [];
    const lines = await logged(async (url) => {
      for (const id of [...ids, ...odd]) {
        answered.push(
          (await fetch(`${url}/demo/open`, { headers: { "x-request-id": id } })).headers.get("x-request-id"),
        );
      }
    });
    expect(answered.slice(0, 2)).toEqual(ids);
    expect(answered.slice(2).every((id) => /^[0-9a-f]{8}-\d+$/.test(id ?? ""))).toBe(true);
    expect(lines.map(({ request_id }) => request_id)).toEqual(answered.map(String));
  });

  test("at level warn holds our failures alone, at error nothing", async () => {
    const asks = async (url: string) => {
      await fetch(`${url}/demo/open`);
      await fetch(`${url}/readyz`);
    };
    const ready = { health: { ready: { database: () => "gone" } } };
    const statuses = async (logLevel: "info" | "warn" | "error") =>
      (await logged(asks, { ...ready, config: { logLevel } })).map(({ status, level }) => [status, level]);
    expect(await statuses("info")).toEqual([
      [200, "info"],
      [503, "warn"],
    ]);
    expect(await statuses("warn")).toEqual([[503, "warn"]]);
    expect(await statuses("error")).toEqual([]);
  });
});

describe("the writer of lines", () => {
  test("writes many lines at once, in order", async () => {
    const written: string[] = [];
    const lines = createLineWriter({ write: (text) => written.push(text), flush: () => 0 });
    for (let at = 0; at < 1_000; at++) lines.write(`${at}\n`);
    expect(written).toEqual([]);
    await lines.flush();
    expect(written).toHaveLength(1);
    expect(written.join("").split("\n")).toHaveLength(1_001);
    lines.write("last\n");
    lines.close();
    expect(written.at(-1)).toBe("last\n");
  });

  test("writes by itself within a second", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const lines = createLineWriter({ write: resolve, flush: () => 0 });
    lines.write("one\n");
    expect(await Promise.race([promise, Bun.sleep(1_000).then(() => "nothing")])).toBe("one\n");
  });

  test("loses lines and no memory while its reader stands still, and says how many", async () => {
    const written: string[] = [];
    const stall = Promise.withResolvers<void>();
    const lines = createLineWriter({ write: (text) => written.push(text), flush: () => stall.promise });
    const line = `${"x".repeat(99_999)}\n`;
    for (let at = 0; at < 100; at++) lines.write(line);
    stall.resolve();
    await lines.flush();
    await lines.flush();
    const kept = written
      .join("")
      .split("\n")
      .filter((text) => text.startsWith("x")).length;
    const [note] = written
      .join("")
      .split("\n")
      .filter((text) => text.startsWith("{"));
    expect(kept).toBeLessThan(50);
    expect(JSON.parse(note ?? "{}")).toMatchObject({
      level: "warn",
      event: "request_lines_dropped",
      count: 100 - kept,
    });
  });

  test("goes on when a write fails", async () => {
    let writes = 0;
    const lines = createLineWriter({ write: () => writes++, flush: () => Promise.reject(new Error("gone")) });
    lines.write("one\n");
    await lines.flush();
    lines.write("two\n");
    await lines.flush();
    expect(writes).toBe(2);
  });
});
