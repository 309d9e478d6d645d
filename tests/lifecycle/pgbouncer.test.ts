import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { loadConfig } from "../../src/config.ts";
import { examineSessions } from "../../src/db/sessions.ts";
import { migrate, migrationPlan } from "../../src/app-migrate.ts";
import { pgbouncerPath, startPgbouncer } from "../support/pgbouncer.ts";
import { startTcpPostgres, type TcpPostgres } from "../support/tcp-postgres.ts";
import { accepted, ended, submitted, untilRunning } from "./job-calls.ts";
import { scratchDirectory, type ServerProcess, spawnServer, supportFunctions } from "./server-process.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(90_000);

const isThere = pgbouncerPath !== null;
let direct: TcpPostgres;
let byTransaction: string;
let bySession: string;
let tolerant: string;

beforeAll(async () => {
  if (!isThere) return;
  direct = await startTcpPostgres();
  const ignored =
    "enable_seqscan,enable_hashjoin,enable_mergejoin,enable_bitmapscan,idle_in_transaction_session_timeout";
  const [transaction, session, lenient] = await Promise.all([
    startPgbouncer(direct, { mode: "transaction" }),
    startPgbouncer(direct, { mode: "session", settings: { default_pool_size: "40" } }),
    startPgbouncer(direct, { mode: "transaction", settings: { ignore_startup_parameters: ignored } }),
  ]);
  [byTransaction, bySession, tolerant] = [transaction.url, session.url, lenient.url];
});

describe.skipIf(!isThere)("what stands before a database is found out:", () => {
  test("nothing", async () => {
    expect(await examineSessions(direct.url())).toEqual({ isPooled: false, hears: true });
  });

  test("a pooler of transactions, which passes on no notification", async () => {
    expect(await examineSessions(byTransaction)).toEqual({ isPooled: true, hears: false });
  });

  test("one that swallows the parameters of a session", async () => {
    expect(await examineSessions(tolerant)).toEqual({ isPooled: true, hears: false });
  });

  test("a pooler of sessions, which takes no parameters and passes notifications on", async () => {
    expect(await examineSessions(bySession)).toEqual({ isPooled: true, hears: true });
  });
});

const serverOn = (url: string, more: Record<string, string> = {}, words: string[] = []) =>
  spawnServer(
    { DATABASE_URL: url, DATA_DIR: scratchDirectory("data"), FUNCTIONS_DIR: supportFunctions, ...more },
    words,
  ).ready();

const said = (server: ServerProcess) => server.said().join("\n");

describe.skipIf(!isThere)("through PgBouncer in transaction mode", () => {
  test("a database is migrated, once, by several at a time, and no lock stays behind", async () => {
    const config = loadConfig({ DATABASE_URL: byTransaction, DATA_DIR: scratchDirectory("data") });
    expect(
      (await Promise.all([migrate(config), migrate(config)])).filter((was) => was === "missing").length,
    ).toBeGreaterThan(0);
    expect(await migrationPlan(config)).toEqual([]);
    expect(await migrate(config)).toBe("current");
  });

  test("two nodes say that they poll, and do all they do otherwise", async () => {
    const taker = await serverOn(byTransaction, {}, ["--no-work"]);
    const worker = await serverOn(tolerant, { SLOTS: "8" });
    for (const node of [taker, worker]) {
      expect(said(node)).toContain("leads to a pooler");
      expect(said(node)).toContain("polls every second");
    }
    const jobs = await Promise.all(
      Array.from({ length: 40 }, (_, at) => submitted(taker, { function: "greet", input: { name: `n${at}` } })),
    );
    expect(jobs.filter((job) => job.status !== "succeeded")).toEqual([]);
    const long = await accepted(taker, { function: "naps", input: { ms: 60_000 } });
    await untilRunning(taker, long.id);
    const stream = taker.call(`/api/v1/jobs/${long.id}/events`, { headers: { accept: "text/event-stream" } });
    expect((await taker.post(`/api/v1/jobs/${long.id}/cancel`, {})).ok).toBe(true);
    expect(await ended(taker, long.id)).toMatchObject({ status: "cancelled" });
    expect(await (await stream).text()).toContain("cancelled");
    for (const node of [taker, worker]) {
      expect(said(node)).not.toMatch(/"level":"error"/);
      expect(await node.stop()).toBe(0);
    }
  });

  test.each([
    ["directly", () => direct.url()],
    ["through a pooler of sessions", () => bySession],
  ])("a node hears of the others by DATABASE_LISTEN_URL, %s", async (_, listenUrl) => {
    const server = await serverOn(byTransaction, { DATABASE_LISTEN_URL: listenUrl() });
    expect(said(server)).toContain("leads to a pooler");
    expect(said(server)).not.toContain("polls every second");
    expect(await submitted(server, { function: "greet" })).toMatchObject({ status: "succeeded" });
    expect(await server.stop()).toBe(0);
  });

  test("DATABASE_LISTEN_URL that is pooled as well is refused with the fix", async () => {
    const server = spawnServer({
      DATABASE_URL: byTransaction,
      DATABASE_LISTEN_URL: tolerant,
      DATA_DIR: scratchDirectory("data"),
    });
    expect(await server.exited).toBe(1);
    await until("it has said why", () => said(server).includes("DATABASE_LISTEN_URL hears nothing"));
  });
});
