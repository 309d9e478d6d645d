import { testDatabase } from "../support/database.ts";

/** A database of its own for a server process, as `DATABASE_URL`. */
export async function givenDatabase() {
  const database = await testDatabase();
  const { host, database: name, username } = database.address;
  const url = `postgres://${username}@localhost/${name}?host=${encodeURIComponent(host)}`;
  return { ...database, url };
}
