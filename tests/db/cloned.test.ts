import { expect, test } from "bun:test";
import { testDatabase } from "../support/database.ts";

test("a test database has the tables and the queues, and nothing of another one", async () => {
  const [one, other] = await Promise.all([testDatabase(), testDatabase()]);
  const tables = await one.sql<{ name: string }[]>`
    select table_schema || '.' || table_name as name from information_schema.tables
    where table_schema in ('public', 'pgboss')`;
  expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(["public.jobs", "pgboss.job"]));
  await one.sql`create table only_here ()`;
  const [found] = await other.sql`select to_regclass('only_here') as name`;
  expect(found).toEqual({ name: null });
  await one.drop();
  expect(one.sql`select 1`.execute()).rejects.toThrow();
});

test("a process reaches a test database by its environment", async () => {
  const { address, environment } = await testDatabase();
  const program = `
    import { openDatabase } from "./src/db/client.ts";
    const db = openDatabase(process.env.DATABASE_URL);
    const [row] = await db.sql\`select current_database() as name\`;
    console.log(row.name);
    await db.close();`;
  const child = Bun.spawn([process.execPath, "-e", program], {
    cwd: `${import.meta.dir}/../..`,
    env: { ...process.env, ...environment },
    stdout: "pipe",
  });
  expect((await child.stdout.text()).trim()).toBe(address.database);
  expect(await child.exited).toBe(0);
});
