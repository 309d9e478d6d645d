import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { type Service, startService } from "../support/service.ts";
import { decodePayload, type StrictPayload } from "../support/strict-payload.ts";

let service: Service;

beforeAll(async () => {
  service = await startService({ SURFACES: "orchestrator", PAYLOAD_MAX_MB: "4", PAYLOAD_MAX_FILES: "20" });
});
afterAll(() => service.stop());

/** Parts as the real server sends them: named by their path, without a type of their own. */
async function submit(files: Record<string, string>): Promise<StrictPayload> {
  const form = new FormData();
  for (const [name, text] of Object.entries(files)) form.append(name, new File([text], name));
  const response = await service.call("/submit", { method: "POST", body: form });
  expect(response.status).toBe(200);
  return decodePayload(await response.json());
}

type Polled = { kind: "zip"; files: Record<string, string> } | { kind: "payload"; payload: StrictPayload };

async function poll(id: number): Promise<Polled> {
  const response = await service.call(`/retrieve/${id}`);
  expect(response.status).toBe(200);
  if (!response.headers.get("content-type")?.includes("application/zip")) {
    return { kind: "payload", payload: decodePayload(await response.json()) };
  }
  const entries = unzipSync(new Uint8Array(await response.arrayBuffer()));
  const decoder = new TextDecoder();
  return {
    kind: "zip",
    files: Object.fromEntries(Object.entries(entries).map(([name, bytes]) => [name, decoder.decode(bytes)])),
  };
}

/** Polls as the server does until the payload leaves the states it polls in. */
async function ended(id: number): Promise<Polled> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const polled = await poll(id);
    if (polled.kind === "zip" || !["Prepared", "Running"].includes(polled.payload.status)) return polled;
    await Bun.sleep(25);
  }
  throw new Error(`waited 30 s for payload ${id} to end`);
}

async function untilRunning(id: number): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline) {
    const polled = await poll(id);
    if (polled.kind === "payload" && polled.payload.status === "Running") return;
    await Bun.sleep(10);
  }
  throw new Error(`waited 15 s for payload ${id} to run`);
}

describe("alone on its port the surface answers as the original", () => {
  test("/ and /health", async () => {
    expect(await (await service.call("/")).json()).toEqual({ message: "pong" });
    expect(await (await service.call("/health")).json()).toEqual({ status: "healthy", database: "ok" });
  });

  test("/load is a bare number from 0 to 100", async () => {
    const load = Number(await (await service.call("/load")).text());
    expect(load).toBeGreaterThanOrEqual(0);
    expect(load).toBeLessThanOrEqual(100);
  });
});

test("ids count from 1 and the location shows nothing of the host", async () => {
  const payload = await submit({ "run.sh": "exit 0" });
  expect(payload).toEqual({ id: 1, status: "Prepared", loc: "payloads/1", input: {}, pid: 0, killed: false });
});

test("a completed payload comes back as a zip of inputs and outputs", async () => {
  const { id } = await submit({ "run.sh": "tr a-z A-Z < input.pdb > out.txt\nmkdir empty", "input.pdb": "atoms" });
  const polled = await ended(id);
  expect(polled).toMatchObject({ kind: "zip", files: { "input.pdb": "atoms", "out.txt": "ATOMS" } });
});

test("a script with the original's exit trap works as any other", async () => {
  const { id } = await submit({ "run.sh": "trap 'echo \"$?\" > .orchestrator.exit' EXIT\necho done > out" });
  expect(await ended(id)).toMatchObject({ kind: "zip", files: { ".orchestrator.exit": "0\n", out: "done\n" } });
});

test("a script that fails ends Failed, and its files are at /retrieve_partial", async () => {
  const { id } = await submit({ "run.sh": "echo so far > partial.txt; exit 3" });
  expect(await ended(id)).toMatchObject({ kind: "payload", payload: { id, status: "Failed" } });
  const zip = unzipSync(new Uint8Array(await (await service.call(`/retrieve_partial/${id}`)).arrayBuffer()));
  expect(new TextDecoder().decode(zip["partial.txt"])).toBe("so far\n");
});

test("an upload without run.sh is Invalid", async () => {
  const { id } = await submit({ "input.pdb": "atoms" });
  expect(await ended(id)).toMatchObject({ kind: "payload", payload: { status: "Invalid" } });
});

test("an upload without files is accepted and ends with the reason", async () => {
  const form = new FormData();
  form.append("note", "no file");
  const response = await service.call("/submit", { method: "POST", body: form });
  expect(response.status).toBe(200);
  const { id } = decodePayload(await response.json());
  expect(await ended(id)).toMatchObject({ kind: "payload", payload: { status: "Failed" } });
});

describe("kill", () => {
  test("a running payload ends Killed", async () => {
    const { id } = await submit({ "run.sh": "trap '' TERM; sleep 60 & sleep 60" });
    await untilRunning(id);
    const response = await service.call(`/kill/${id}`, { method: "POST" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
    expect(await ended(id)).toMatchObject({ kind: "payload", payload: { status: "Killed", killed: true } });
  }, 30_000);

  test("one that is done stays what it is", async () => {
    const { id } = await submit({ "run.sh": "exit 0" });
    await ended(id);
    expect((await service.call(`/kill/${id}`, { method: "POST" })).status).toBe(200);
    expect((await poll(id)).kind).toBe("zip");
  });
});

describe("what is not there", () => {
  for (const path of ["/retrieve/999999", "/retrieve_partial/999999", "/retrieve/99999999999999999999"]) {
    test(path, async () => {
      const response = await service.call(path);
      expect(response.status).toBe(404);
      expect(decodePayload(await response.json())).toMatchObject({ id: 0, status: "Unknown" });
    });
  }

  for (const id of ["abc", "1.5", "-1", "0x1", "1e3", "..%2f1", "%00", "1%20", "é"]) {
    test(`/retrieve/${id} is no number`, async () => {
      const response = await service.call(`/retrieve/${id}`);
      expect(response.status).toBe(400);
      expect(response.headers.get("content-type")).toStartWith("text/plain");
    });
  }
});

describe("uploads that are refused leave nothing", () => {
  const upload = (filename: string, text = "x") =>
    service.call("/submit", {
      method: "POST",
      headers: { "content-type": "multipart/form-data; boundary=b" },
      body: `--b\r\nContent-Disposition: form-data; name="f"; filename="${filename}"\r\n\r\n${text}\r\n--b--\r\n`,
    });

  for (const [name, filename] of [
    ["..", ".."],
    [".", "."],
    ["a NUL", "run.sh\0.txt"],
    ["256 bytes", "x".repeat(256)],
    ["only a slash", "a/"],
  ] as const) {
    test(`a file named ${name}`, async () => {
      expect((await upload(filename)).status).toBe(400);
    });
  }

  test("too many bytes", async () => {
    expect((await upload("big", "x".repeat(5 * 1_048_576))).status).toBe(413);
  });

  test("too many files", async () => {
    const form = new FormData();
    for (let at = 0; at < 21; at++) form.append("f", new File(["x"], `f${at}`));
    expect((await service.call("/submit", { method: "POST", body: form })).status).toBe(413);
  });

  test("no boundary", async () => {
    const response = await service.call("/submit", {
      method: "POST",
      headers: { "content-type": "multipart/form-data" },
      body: "x",
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("boundary");
  });

  test("a body that ends in the middle", async () => {
    const response = await service.call("/submit", {
      method: "POST",
      headers: { "content-type": "multipart/form-data; boundary=b" },
      body: '--b\r\nContent-Disposition: form-data; name="f"; filename="run.sh"\r\n\r\nexit 0',
    });
    expect(response.status).toBe(400);
  });

  test("not even an id that nobody has", async () => {
    const { database, config } = service.rooms;
    expect((await upload("..")).status).toBe(400);
    expect(await database.db.sql`SELECT payload_id FROM uploads`).toHaveLength(0);
    expect(readdirSync(join(config.dataDir, "staging"))).toEqual([]);
  });

  test("and those that are not count on without a gap", async () => {
    const first = await submit({ "run.sh": "exit 0" });
    for (const next of [1, 2, 3]) expect((await submit({ "run.sh": "exit 0" })).id).toBe(first.id + next);
  });
});
