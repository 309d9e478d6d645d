import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAddress } from "../../src/db/address.ts";
import { whenFileEnds } from "../support/ending.ts";

const directory = mkdtempSync(join(tmpdir(), "fairlead-address-"));
whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, "some.pem");
writeFileSync(file, "PEM");
const at = "postgres://me:hush@db.example:5433/jobs";
const verified = { rejectUnauthorized: true };

describe("sslmode means what it means to libpq:", () => {
  test.each([
    ["", undefined],
    ["?sslmode=disable", false],
    ["?sslmode=prefer", "prefer"],
    ["?sslmode=require", { rejectUnauthorized: false }],
    ["?ssl=true", { rejectUnauthorized: false }],
    [`?sslmode=require&sslrootcert=${file}`, { ...verified, ca: "PEM", checkServerIdentity: expect.any(Function) }],
    [`?sslmode=verify-ca&sslrootcert=${file}`, { ...verified, ca: "PEM", checkServerIdentity: expect.any(Function) }],
    [`?sslmode=verify-full&sslrootcert=${file}`, { ...verified, ca: "PEM" }],
    ["?sslmode=verify-full", verified],
    ["?sslrootcert=system", verified],
    [
      `?sslmode=require&sslcert=${file}&sslkey=${file}&sslpassword=p`,
      { rejectUnauthorized: false, cert: "PEM", key: "PEM", passphrase: "p" },
    ],
    ["?sslmode=require&sslcompression=0&sslsni=1&channel_binding=prefer", { rejectUnauthorized: false }],
  ])("%s", (query, ssl) => {
    const { url, options } = readAddress(`${at}${query}`);
    expect(url).toBe(at);
    expect(options.ssl as unknown).toEqual(ssl);
  });
});

describe("what cannot be honoured is refused with what to write instead, and without the password:", () => {
  test.each([
    ["sslmode=allow", "use prefer"],
    ["sslmode=sure", "verify-full"],
    ["sslmode=require&sslrootcert=system", "sslmode=verify-full"],
    [`sslmode=require&sslcert=${file}`, "give both"],
    ["sslmode=verify-ca&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem as sslrootcert, which cannot be read (ENOENT)"],
    ["sslmode=require&sslcrl=/x.crl", "leave it out"],
    ["channel_binding=require", "sslmode=verify-full"],
    ["gssencmode=require", "use sslmode"],
    ["service=prod", "write out"],
  ])("%s", (query, fix) => {
    const read = () => readAddress(`${at}?${query}`);
    expect(read).toThrow(fix);
    expect(read).not.toThrow("hush");
  });
});

test.each(["me:hush@db.example/jobs", "http://me:hush@db.example/jobs", "host=db.example password=hush"])(
  "%p is no address, and its password is not told",
  (text) => {
    expect(() => readAddress(text)).toThrow("write postgres://user:password@host:5432/database");
    expect(() => readAddress(text)).not.toThrow("hush");
  },
);

test("an address stands among the parameters as well, and others go to the server", () => {
  const { url, options } = readAddress(
    "postgres:///?host=h&port=1&user=u&password=p&dbname=d&search_path=s&keepalives=1",
  );
  expect(url).toBe("postgres:///?search_path=s");
  expect(options).toEqual({ host: "h", port: "1", username: "u", password: "p", database: "d" } as object);
});

test("a unix socket is known by its directory", () => {
  expect(readAddress("postgres://me:a%40b@localhost/jobs?host=%2Frun%2Fpg&sslmode=verify-full")).toEqual({
    url: null,
    options: { host: "/run/pg", database: "jobs", username: "me", password: "a@b", connection: {} },
  });
});

test("several hosts keep their ports", () => {
  const several = "postgres://me@a:1,b:2/jobs";
  expect(readAddress(`${several}?sslmode=require&target_session_attrs=read-write`)).toEqual({
    url: `${several}?target_session_attrs=read-write`,
    options: { ssl: { rejectUnauthorized: false } },
  });
});
