import { randomBytes } from "node:crypto";
import type { Sql } from "../db/client.ts";

const secretBytes = 32;

/**
 * The 32 secret bytes under that name, the same for every node of the database. The first call makes them: of `offer`, when a
 * node has used bytes of its own so far, or by chance.
 */
export async function sharedSecret(sql: Sql, name: string, offer: Uint8Array | null): Promise<Uint8Array> {
  const value = Buffer.from(offer ?? randomBytes(secretBytes)).toString("base64url");
  await sql`INSERT INTO secrets (name, value) VALUES (${name}, ${value}) ON CONFLICT (name) DO NOTHING`;
  const secret = await knownSecret(sql, name);
  if (secret === null) throw new Error(`the database has lost its secret "${name}" again`);
  return secret;
}

/** The same when it is there, null when it is not. Throws `Error` for a row that cannot be a secret. */
export async function knownSecret(sql: Sql, name: string): Promise<Uint8Array | null> {
  const [row] = await sql<{ value: string }[]>`SELECT value FROM secrets WHERE name = ${name}`;
  if (row === undefined) return null;
  const secret = new Uint8Array(Buffer.from(row.value, "base64url"));
  if (secret.length === secretBytes) return secret;
  throw new Error(
    `the row "${name}" of the table "secrets" holds ${secret.length} bytes instead of ${secretBytes}: restore it, or delete it to start anew`,
  );
}
