import { closeSync, fstatSync, openSync } from "node:fs";
import type { Log } from "../log.ts";
import { type Account, chooseAccount, spawnAs } from "./embeddedAccount.ts";
import { type Binaries, findBinaries } from "./embeddedBinaries.ts";
import { ask, createDatabase, embeddedDatabase, embeddedUser } from "./embeddedClient.ts";
import { configure, createCluster, hasCluster, type Tune, takeCluster } from "./embeddedCluster.ts";
import { EmbeddedError, explain, explainFault } from "./embeddedFaults.ts";
import { FileLock, lockAlone } from "./embeddedLock.ts";
import { makePlace, type Place, placeOf } from "./embeddedPlace.ts";
import { clearRemains, inspect, type Postmaster, readPostmaster, stopPostmaster } from "./embeddedPostmaster.ts";
import { watchOver } from "./embeddedWatch.ts";

/** A Postgres that this process may use until `stop`. The first three are a `DatabaseAddress`. */
export type Embedded = {
  /** Directory of the unix socket. */
  host: string;
  database: string;
  username: string;
  /** The same for programs that take a URL (libpq, `pg`). postgres.js cannot read it: give it the fields. */
  url: string;
  /** Gives it back; the last one stops Postgres and waits until it has ended. May be called again. */
  stop(): Promise<void>;
};

type Options = { dataDir: string; log: Log; tune?: Tune };
type Room = { place: Place; tune: Tune; log: Log };

const lockTimeoutMs = 120_000;
/** Recovery after a crash replays at most `max_wal_size`, which takes seconds. */
const startTimeoutMs = 300_000;
const silenceMaxMs = 10_000;
const stopPatienceMs = 30_000;
const silentPatienceMs = 3_000;
const pollMs = 5;

/**
 * Starts the PostgreSQL that came with the packages, on `<dataDir>/postgres`, reachable by a unix socket alone and only
 * for this user. A Postgres that already runs there is shared: it outlives a server that was killed, and stops with
 * the last one that is told to. One that dies is started again, at the same address. Rejects with `EmbeddedError`, whose message names the cause and the fix.
 */
export async function startEmbedded({ dataDir, log, tune = "durable" }: Options): Promise<Embedded> {
  const room: Room = { place: placeOf(dataDir), tune, log };
  try {
    makePlace(room.place);
    return await underLock(room, () => shareOrStart(room));
  } catch (fault) {
    throw explainFault("the embedded Postgres cannot start", room.place.dataDir, fault);
  }
}

async function shareOrStart(room: Room): Promise<Embedded> {
  const hold = new FileLock(room.place.holdersFile);
  try {
    // Only a stopping server holds it alone, and it has the start lock, which is ours now.
    if (!hold.tryShared()) throw new Error(`${room.place.holdersFile} is locked by another program`);
    return handOut(room, hold, await findOrStart(room));
  } catch (fault) {
    hold.release();
    throw fault;
  }
}

function handOut(room: Room, hold: FileLock, { pid, socketDir }: Postmaster): Embedded {
  const revive = async () => (await underLock(room, () => findOrStart(room))).pid;
  const endWatch = watchOver(pid, revive, room.log);
  let stopping: Promise<void> | undefined;
  const query = new URLSearchParams({ host: socketDir });
  return {
    host: socketDir,
    database: embeddedDatabase,
    username: embeddedUser,
    url: `postgres://${embeddedUser}@localhost/${embeddedDatabase}?${query}`,
    stop: () => (stopping ??= endWatch().then(() => giveBack(room, hold))),
  };
}

async function giveBack({ place, log }: Room, hold: FileLock): Promise<void> {
  await underLock({ place }, async () => {
    const running = hold.tryExclusive() ? readPostmaster(place.clusterDir) : null;
    if (running !== null && inspect(running.pid, place.clusterDir) === "postmaster") {
      const startedAt = Date.now();
      const end = await stopPostmaster(running.pid, stopPatienceMs);
      log.info("embedded Postgres stopped", { end, ms: Date.now() - startedAt });
    }
  }).finally(() => hold.release());
}

async function underLock<T>({ place }: { place: Place }, work: () => Promise<T>): Promise<T> {
  const lock = await lockAlone(place.lockFile, lockTimeoutMs);
  try {
    return await work();
  } finally {
    lock.release();
  }
}

async function findOrStart(room: Room): Promise<Postmaster> {
  return (await findRunning(room)) ?? (await start(room));
}

/** Asks before it looks at process numbers: these say nothing about a Postgres in another container. */
async function findRunning({ place, log }: Room): Promise<Postmaster | null> {
  const startedAt = Date.now();
  for (let silentSince = startedAt; Date.now() - startedAt < startTimeoutMs; await Bun.sleep(pollMs)) {
    const found = readPostmaster(place.clusterDir);
    if (found === null) return null;
    const answer = await ask(found.socketDir);
    if (answer === "no database") await createDatabase(found.socketDir);
    if (answer === "no database" || answer === "ready") {
      log.info("embedded Postgres found running", { pid: found.pid });
      return found;
    }
    if (inspect(found.pid, place.clusterDir) !== "postmaster") return clearAway(place);
    if (answer === "busy") silentSince = Date.now();
    if (Date.now() - silentSince > silenceMaxMs) {
      log.warn("embedded Postgres does not answer and is restarted", { pid: found.pid });
      await stopPostmaster(found.pid, silentPatienceMs);
      return clearAway(place);
    }
  }
  throw new EmbeddedError(`it has been starting or stopping for ${startTimeoutMs / 1000} s: see ${place.logFile}`);
}

async function clearAway({ clusterDir }: Place): Promise<null> {
  await clearRemains(clusterDir);
  return null;
}

async function start({ place, tune, log }: Room): Promise<Postmaster> {
  const startedAt = Date.now();
  const account = chooseAccount(place.clusterDir);
  const binaries = findBinaries(account, place.runDir);
  const output = openLog(place.logFile);
  try {
    const isNew = !hasCluster(place);
    if (isNew && !(await createCluster({ place, account, binaries, tune }, output.descriptor))) {
      throw explain("the embedded Postgres could not create its files", place, output.from);
    }
    takeCluster(place, account);
    const running = await launch({ place, account, binaries, tune }, output);
    await makeDatabase(running);
    log.info("embedded Postgres started", { pid: running.pid, user: account.user, isNew, ms: Date.now() - startedAt });
    return running;
  } finally {
    closeSync(output.descriptor);
  }
}

async function makeDatabase({ pid, socketDir }: Postmaster): Promise<void> {
  try {
    if ((await ask(socketDir)) === "no database") await createDatabase(socketDir);
  } catch (fault) {
    await stopPostmaster(pid, stopPatienceMs);
    throw fault;
  }
}

type Launch = { place: Place; account: Account; binaries: Binaries; tune: Tune };
type Output = { descriptor: number; from: number };

async function launch({ place, account, binaries, tune }: Launch, output: Output): Promise<Postmaster> {
  const settings = configure(place, account, tune);
  const child = spawnAs(account, [binaries.postgres, ...settings], output.descriptor);
  for (const deadline = Date.now() + startTimeoutMs; Date.now() < deadline; await Bun.sleep(pollMs)) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw explain("the embedded Postgres ended at its start", place, output.from);
    }
    const found = readPostmaster(place.clusterDir);
    if (found?.pid === child.pid && found.isReady) {
      child.unref();
      return found;
    }
  }
  child.kill("SIGQUIT");
  throw explain(`the embedded Postgres was not ready after ${startTimeoutMs / 1000} s`, place, output.from);
}

/** Begins anew when it has grown; earlier servers that still write in it then go on at its end. */
function openLog(path: string): Output {
  const logBytesMax = 4 * 1024 * 1024;
  const isLarge = Bun.file(path).size > logBytesMax;
  const descriptor = openSync(path, isLarge ? "w" : "a", 0o600);
  return { descriptor, from: fstatSync(descriptor).size };
}
