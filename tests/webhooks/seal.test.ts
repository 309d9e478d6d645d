import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deriveSealKey, loadSealKey } from "../../src/webhooks/seal-key.ts";
import { openHeaders, sealHeaders } from "../../src/webhooks/seal.ts";

const root = mkdtempSync(join(tmpdir(), "fairlead-seal-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const key = deriveSealKey("one");
const headers = { Authorization: "Bearer s3cret", "X-Custom": "välue" };

test("sealed headers open again with their key alone", () => {
  const sealed = sealHeaders(headers, key);
  expect(openHeaders(sealed, [key])).toEqual(headers);
  expect(openHeaders(sealed, [deriveSealKey("two")])).toBeNull();
  expect(openHeaders(sealed, [])).toBeNull();
});

test("nothing of a header can be read in its sealed form, and no two seals are equal", () => {
  const [first, second] = [sealHeaders(headers, key), sealHeaders(headers, key)];
  expect(first).not.toBe(second);
  const bytes = `${first} ${Buffer.from(first.split(".")[1] ?? "", "base64url").toString("latin1")}`;
  for (const word of ["s3cret", "Authorization", "X-Custom"]) expect(bytes).not.toContain(word);
});

test("after a rotation both the new and the old key's seals open", () => {
  const next = deriveSealKey("two");
  for (const sealed of [sealHeaders(headers, key), sealHeaders(headers, next)]) {
    expect(openHeaders(sealed, [next, key])).toEqual(headers);
  }
});

test("a seal with any byte changed, cut or lengthened does not open", () => {
  const sealed = sealHeaders({ a: "b" }, key);
  const [name, text = ""] = sealed.split(".");
  const bytes = Buffer.from(text, "base64url");
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    expect(openHeaders(`${name}.${changed.toString("base64url")}`, [key])).toBeNull();
  }
  const others = [
    bytes.subarray(1),
    bytes.subarray(0, -1),
    Buffer.concat([bytes, bytes]),
    Buffer.alloc(0),
    Buffer.alloc(20),
  ];
  for (const other of others) expect(openHeaders(`${name}.${other.toString("base64url")}`, [key])).toBeNull();
});

test("a node's key is made once, for its owner alone, also when twenty calls come at once", async () => {
  const dataDir = join(root, "new", "node");
  const keys = await Promise.all(Array.from({ length: 20 }, () => loadSealKey(dataDir)));
  expect(new Set(keys.map((bytes) => Buffer.from(bytes).toString("hex"))).size).toBe(1);
  expect(keys[0]?.length).toBe(32);
  expect(readdirSync(dataDir)).toEqual(["webhook-headers.key"]);
  expect(statSync(join(dataDir, "webhook-headers.key")).mode & 0o777).toBe(0o600);
});

test("a key file that is no key is named", async () => {
  writeFileSync(join(root, "webhook-headers.key"), "short");
  await expect(loadSealKey(root)).rejects.toThrow(join(root, "webhook-headers.key"));
});

test("a data directory that cannot be written is named", async () => {
  writeFileSync(join(root, "file"), "");
  await expect(loadSealKey(join(root, "file"))).rejects.toThrow("webhook-headers.key");
});
