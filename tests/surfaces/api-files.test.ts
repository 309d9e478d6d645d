import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileList, Job } from "../../src/surfaces/api/wire-job.ts";
import { type Service, startService } from "../support/service.ts";

const data = "0123456789".repeat(1_000);
const odd = 'dir/sp ace #1?&"ü.txt';

let service: Service;
let job: Job;
let folder: string;

beforeAll(async () => {
  service = await startService({ SANDBOX: "none" });
  folder = await mkdtemp(join(tmpdir(), "fairlead-files-"));
  const form = new FormData();
  form.append("job", JSON.stringify({ id: "files-1", tags: ["f"] }));
  const script = `mkdir dir empty; printf x > '${odd}'; printf '<script>alert(1)</script>' > page.html; ln -s data.bin inner; ln -s /etc/passwd outer; : > nothing`;
  form.append("file", new File([script], "run.sh"));
  form.append("file", new File([data], "data.bin"));
  const response = await service.call("/api/v1/jobs", { method: "POST", body: form, headers: { prefer: "wait=15" } });
  job = (await response.json()) as Job;
}, 60_000);
afterAll(async () => {
  await service.stop();
  await rm(folder, { recursive: true, force: true });
});

const get = (path: string, headers: Record<string, string> = {}) =>
  service.call(`/api/v1/jobs/files-1/files${path}`, { headers });

describe("the files of a job", () => {
  test("are listed with size, hash, type and where to get them", async () => {
    expect(job.status).toBe("succeeded");
    const list = (await (await get("")).json()) as FileList;
    const byPath = new Map(list.files.map((file) => [file.path, file]));
    expect([...byPath.keys()].sort()).toEqual(["data.bin", odd, "nothing", "page.html", "run.sh"].sort());
    expect(byPath.get("data.bin")).toMatchObject({
      bytes: 10_000,
      sha256: new Bun.CryptoHasher("sha256").update(data).digest("hex"),
      media_type: "application/octet-stream",
      link: "/api/v1/jobs/files-1/files/data.bin",
    });
    expect(list.links).toEqual([{ path: "inner", target: "data.bin" }]);
    expect(list.directories.map(({ path }) => path)).toEqual(["empty"]);
    expect(list.skipped.map(({ path }) => path)).toEqual(["outer"]);
    for (const { link, bytes } of list.files) {
      const response = await service.call(link);
      expect(response.status).toBe(200);
      expect((await response.arrayBuffer()).byteLength).toBe(bytes);
    }
  });

  test("can be fetched whole, with what a download needs", async () => {
    const response = await get("/data.bin");
    expect(await response.text()).toBe(data);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "accept-ranges": "bytes",
      "content-disposition": 'attachment; filename="data.bin"',
      "cache-control": "private, no-cache",
    });
    const named = await get(`/${odd.split("/").map(encodeURIComponent).join("/")}`);
    expect(named.headers.get("content-disposition")).toContain("filename*=UTF-8''sp%20ace%20%231%3F%26%22%C3%BC.txt");
  });

  test("do nothing in a browser", async () => {
    const response = await get("/page.html", { accept: "text/html" });
    expect(response.headers.get("content-type")).toStartWith("text/html");
    expect(response.headers.get("content-security-policy")).toContain("sandbox");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("content-disposition")).toStartWith("attachment");
  });

  const ranges: [range: string, status: number, expected: string, contentRange: string | null][] = [
    ["bytes=0-9", 206, "0123456789", "bytes 0-9/10000"],
    ["bytes=9990-", 206, "0123456789", "bytes 9990-9999/10000"],
    ["bytes=-5", 206, "56789", "bytes 9995-9999/10000"],
    ["bytes=9999-20000", 206, "9", "bytes 9999-9999/10000"],
    ["bytes=-20000", 206, data, "bytes 0-9999/10000"],
    ["bytes=10000-", 416, "", "bytes */10000"],
    ["bytes=99999999999999999999-", 416, "", "bytes */10000"],
    ["bytes=-0", 416, "", "bytes */10000"],
    ["bytes=5-3", 200, data, null],
    ["bytes=0-1,5-6", 200, data, null],
    ["lines=0-9", 200, data, null],
    ["bytes=x-y", 200, data, null],
  ];
  test.each(ranges)("answer Range: %s with %d", async (range, status, expected, contentRange) => {
    const response = await get("/data.bin", { range });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-range")).toBe(contentRange);
    if (status === 416) expect(await response.json()).toMatchObject({ status: 416 });
    else expect(await response.text()).toBe(expected);
  });

  test("of no bytes have no range", async () => {
    expect((await get("/nothing", { range: "bytes=0-0" })).status).toBe(416);
    expect(await (await get("/nothing")).text()).toBe("");
  });

  test("are not sent again to who knows them", async () => {
    const etag = (await get("/data.bin")).headers.get("etag") ?? "";
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const response = await get("/data.bin", { "if-none-match": known });
      expect([response.status, await response.text(), response.headers.get("etag")]).toEqual([304, "", etag]);
    }
    expect((await get("/data.bin", { "if-none-match": '"other"' })).status).toBe(200);
    expect((await get("/data.bin", { range: "bytes=0-0", "if-range": etag })).status).toBe(206);
    expect((await get("/data.bin", { range: "bytes=0-0", "if-range": '"other"' })).status).toBe(200);
  });

  test("say their size without being sent", async () => {
    const response = await service.call("/api/v1/jobs/files-1/files/data.bin", { method: "HEAD" });
    expect([response.status, response.headers.get("content-length"), await response.text()]).toEqual([
      200,
      "10000",
      "",
    ]);
  });

  test("come as one zip", async () => {
    const response = await service.call("/api/v1/jobs/files-1/files.zip");
    expect(response.headers.get("content-type")).toBe("application/zip");
    expect(response.headers.get("content-disposition")).toBe('attachment; filename="files-1.zip"');
    const path = join(folder, "files.zip");
    await Bun.write(path, response);
    const { unzipSync } = await import("fflate");
    const entries = unzipSync(await Bun.file(path).bytes());
    expect(Buffer.from(entries["data.bin"] ?? []).toString()).toBe(data);
    expect(Object.keys(entries)).toContain(odd);
    expect(Buffer.concat(Object.values(entries)).includes("root:")).toBe(false);
  });

  test("are none where a job came without", async () => {
    const made = (await (await service.post("/api/v1/jobs", { function: "hello" })).json()) as Job;
    const list = (await (await service.call(made.links.files)).json()) as FileList;
    expect(list).toMatchObject({ files: [], bytes: 0 });
    expect((await service.call(`${made.links.files}.zip`)).status).toBe(404);
    expect((await service.call(`${made.links.files}/run.sh`)).status).toBe(404);
    expect((await service.call("/api/v1/jobs/nobody/files")).status).toBe(404);
  });

  test("are gone with their job", async () => {
    const made = (await (await service.post("/api/v1/jobs", { script: "true" }, { prefer: "wait=15" })).json()) as Job;
    const payloadId = made.payload?.id ?? 0;
    expect((await service.call(made.links.self, { method: "DELETE" })).status).toBe(204);
    for (const path of [
      made.links.self,
      made.links.files,
      made.links.events,
      `${made.links.self}/runs`,
      `${made.links.self}/deliveries`,
    ])
      expect((await service.call(path)).status, path).toBe(404);
    await expect(service.rooms.files.list(payloadId)).rejects.toThrow("has no files");
    const { sql } = service.rooms.database.db;
    for (const table of ["tasks", "runs", "events", "payloads", "deliveries"])
      expect(await sql.unsafe(`SELECT 1 FROM ${table} WHERE job_id = $1`, [made.id]), table).toHaveLength(0);
    expect((await service.call(made.links.self, { method: "DELETE" })).status).toBe(404);
  });
});
