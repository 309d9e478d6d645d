import { startEmbedded } from "../../src/db/embedded.ts";
import { silentLog } from "../../src/log.ts";

/** A process that holds the embedded Postgres of a directory: says so on stdout, gives it back when stdin ends. */
const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error("usage: holdPostgres.ts <data directory>");
const embedded = await startEmbedded({ dataDir, log: silentLog(), tune: "test" });
console.log(JSON.stringify({ host: embedded.host }));
await Bun.stdin.text();
await embedded.stop();
