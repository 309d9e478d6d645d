import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cannotBeUsed } from "../../src/app-database.ts";
import { openGivenDatabase } from "../../src/db/given.ts";
import { createAuthority, hasOpenssl } from "../support/authority.ts";
import { whenFileEnds } from "../support/ending.ts";
import { startTcpPostgres, type TcpPostgres } from "../support/tcp-postgres.ts";

setDefaultTimeout(90_000);

/** One that takes nothing but TLS, and of `client` a certificate too; and one that has no TLS. */
let guarded: TcpPostgres;
let plain: TcpPostgres;
const directory = mkdtempSync(join(tmpdir(), "fairlead-tls-"));
whenFileEnds(async () => rmSync(directory, { recursive: true, force: true }));
const [ours, theirs, cert, key] = ["ours.crt", "theirs.crt", "me.crt", "me.key"].map((name) => join(directory, name));

beforeAll(async () => {
  if (!hasOpenssl) return;
  const [authority, other] = [createAuthority(), createAuthority()];
  const server = authority.issue("database", "DNS:localhost");
  const client = authority.issue("client", "DNS:client");
  writeFileSync(String(ours), await Bun.file(authority.path).text());
  writeFileSync(String(theirs), await Bun.file(other.path).text());
  writeFileSync(String(cert), client.cert);
  writeFileSync(String(key), client.key);
  const files = {
    "server.crt": server.cert,
    "server.key": server.key,
    "ca.crt": await Bun.file(authority.path).text(),
  };
  [guarded, plain] = await Promise.all([
    startTcpPostgres({
      files,
      settings: { ssl: "on", ssl_ca_file: "ca.crt" },
      hba: ["hostssl all fairlead 127.0.0.1/32 trust", "hostssl all client 127.0.0.1/32 cert"],
    }),
    startTcpPostgres(),
  ]);
});

/** Whether the session is encrypted; throws what the operator would be told. */
async function encrypted(url: string): Promise<boolean> {
  const { db } = await openGivenDatabase(url, "").catch((fault: unknown) => {
    throw cannotBeUsed(fault);
  });
  try {
    const [row] = await db.hot<{ ssl: boolean }[]>`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`;
    return row?.ssl === true;
  } finally {
    await db.close();
  }
}

describe.skipIf(!hasOpenssl)("a Postgres with TLS", () => {
  test.each([
    ["sslmode=prefer", "127.0.0.1"],
    ["sslmode=require", "127.0.0.1"],
    ["sslmode=require&sslrootcert=OURS", "127.0.0.1"],
    ["sslmode=verify-ca&sslrootcert=OURS", "127.0.0.1"],
    ["sslmode=verify-full&sslrootcert=OURS", "localhost"],
    ["sslmode=require&sslnegotiation=direct", "localhost"],
  ])("is used with %s at %s", async (query, host) => {
    expect(await encrypted(guarded.url(`?${query.replace("OURS", String(ours))}`, host))).toBe(true);
  });

  test.each([
    ["", "127.0.0.1", "add sslmode=require"],
    ["sslmode=disable", "127.0.0.1", "add sslmode=require"],
    ["sslmode=verify-full&sslrootcert=OURS", "127.0.0.1", "sslmode=verify-ca"],
    ["sslmode=verify-full&sslrootcert=THEIRS", "localhost", "sslrootcert"],
    ["sslmode=verify-ca&sslrootcert=THEIRS", "localhost", "sslrootcert"],
    ["sslmode=require&sslrootcert=THEIRS", "localhost", "sslrootcert"],
    ["sslmode=verify-full", "localhost", "sslrootcert"],
    ["sslrootcert=system", "localhost", "sslrootcert"],
    ["user=client&sslmode=require", "localhost", "certificate"],
  ])("is not used with %s at %s", async (query, host, said) => {
    const url = guarded.url(`?${query.replace("OURS", String(ours)).replace("THEIRS", String(theirs))}`, host);
    await expect(encrypted(url)).rejects.toThrow(said);
  });

  test("knows its client by a certificate", async () => {
    const url = guarded.url(
      `?user=client&sslmode=verify-full&sslrootcert=${ours}&sslcert=${cert}&sslkey=${key}`,
      "localhost",
    );
    await expect(encrypted(url)).rejects.toThrow('role "client" does not exist');
  });
});

describe.skipIf(!hasOpenssl)("a Postgres without TLS", () => {
  test("is used where that is not asked for", async () => {
    expect(await encrypted(plain.url())).toBe(false);
    expect(await encrypted(plain.url("?sslmode=prefer"))).toBe(false);
  });

  test("is not used where it is", async () => {
    await expect(encrypted(plain.url("?sslmode=require"))).rejects.toThrow("It offers no TLS");
  });
});
