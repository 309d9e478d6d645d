import { describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT, UnsecuredJWT } from "jose";
import { createJobTokens } from "../../src/http/job-tokens.ts";
import { readTokenKey } from "../../src/http/token-key.ts";
import { bodyOf, goodKey, openRoom } from "./room.ts";

const secret = new Uint8Array(32).fill(7);
const tokens = createJobTokens(secret);
const audience = "fairlead:job";
const soon = () => Math.floor(Date.now() / 1_000) + 60;

const signed = (claims: Record<string, unknown>, header: Record<string, unknown> = {}, key = secret) =>
  new SignJWT({ sub: "job-1", aud: audience, exp: soon(), ...claims })
    .setProtectedHeader({ alg: "HS256", typ: "JWT", ...header })
    .sign(key);

async function flipped(token: string): Promise<string> {
  const [head = "", body = "", mark = ""] = token.split(".");
  return [head, body, `${mark.startsWith("A") ? "B" : "A"}${mark.slice(1)}`].join(".");
}

const refused: [string, () => string | Promise<string>][] = [
  ["for another job", async () => (await tokens.sign("job-2", 60)).token],
  ["out of time", async () => (await tokens.sign("job-1", -1)).token],
  ["of another secret", () => signed({}, {}, new Uint8Array(32).fill(8))],
  ["with a changed signature", async () => flipped(await signed({}))],
  ["without a signature", async () => (await signed({})).replace(/[^.]*$/, "")],
  ["without an algorithm", () => new UnsecuredJWT({ sub: "job-1", aud: audience }).setExpirationTime("1h").encode()],
  ["of a longer algorithm", () => signed({}, { alg: "HS512" }, new Uint8Array(64).fill(7))],
  [
    "without an end",
    () => new SignJWT({ sub: "job-1", aud: audience }).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(secret),
  ],
  ["for other purposes", () => signed({ aud: "https://worker.opteryx.app/api/v1/submit" })],
  ["of another type", () => signed({}, { typ: "at+jwt" })],
  ["without a subject", () => signed({ sub: undefined })],
  ["that is too long", () => signed({ more: "x".repeat(3_000) })],
  ["that is no token", () => "a.b.c"],
];

describe("a job token", () => {
  test("is good for its job, for its time", async () => {
    const { token, expiresAt } = await tokens.sign("job-1", 60);
    expect(await tokens.verify(token, "job-1")).toBe(true);
    expect(Math.abs(expiresAt.getTime() - Date.now() - 60_000)).toBeLessThan(2_000);
    expect(await tokens.verify(await signed({}), "job-1")).toBe(true);
  });

  test.each(refused)("%s is refused", async (_name, make) => {
    expect(await tokens.verify(await make(), "job-1")).toBe(false);
  });

  test("is made with a secret of 32 bytes at least", () => {
    expect(() => createJobTokens(new Uint8Array(31))).toThrow("32 bytes");
  });

  test("opens its job by header or URL, and nothing else", async () => {
    await using room = await openRoom();
    const { token } = await room.tokens.sign("job-1", 60);
    const ask = async (path: string, headers: Record<string, string> = {}) => {
      const response = await fetch(`${room.url}${path}`, { headers });
      return response.ok ? (await bodyOf<{ client: string }>(response)).client : response.status;
    };
    expect(await ask(`/demo/jobs/job-1?token=${token}`)).toBe("job:job-1");
    expect(await ask(`/demo/jobs/job-1?a=b&token=${token}`)).toBe("job:job-1");
    expect(await ask("/demo/jobs/job-1", { authorization: `Bearer ${token}` })).toBe("job:job-1");
    expect(await ask("/demo/jobs/job-1", { authorization: goodKey })).toStartWith("key:");
    expect(await ask(`/demo/jobs/job-2?token=${token}`)).toBe(401);
    expect(await ask(`/demo/key?token=${token}`)).toBe(401);
    expect(await ask("/demo/key", { authorization: `Bearer ${token}` })).toBe(401);
    expect(await ask("/demo/jobs/job-1")).toBe(401);
    expect(room.lines.join("\n")).not.toContain(token);
  });
});

describe("the secret of job tokens", () => {
  async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "fairlead-token-"));
    await work(directory).finally(() => rm(directory, { recursive: true }));
  }

  test("is made once, for its owner alone, also when many ask at once", () =>
    inDirectory(async (directory) => {
      const data = join(directory, "data");
      const keys = await Promise.all(Array.from({ length: 20 }, () => readTokenKey(data)));
      const kept = await readFile(join(data, "token.key"));
      expect(kept.byteLength).toBe(32);
      expect((await stat(join(data, "token.key"))).mode & 0o777).toBe(0o600);
      expect(keys.every((key) => kept.equals(key))).toBe(true);
      expect(await Array.fromAsync(new Bun.Glob("*").scan({ cwd: data }))).toEqual(["token.key"]);
    }));

  test("that was cut off is refused with what to do", () =>
    inDirectory(async (directory) => {
      await writeFile(join(directory, "token.key"), "short");
      await expect(readTokenKey(directory)).rejects.toThrow("remove it");
    }));
});
