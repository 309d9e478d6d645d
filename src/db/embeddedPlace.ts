import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Where the embedded Postgres keeps what. The server writes in `runDir` alone; `clusterDir` belongs to Postgres. */
export type Place = {
  dataDir: string;
  clusterDir: string;
  runDir: string;
  lockFile: string;
  holdersFile: string;
  logFile: string;
};

/** Bytes a unix socket's path may have: 103 on macOS, 107 on Linux. The smaller one holds everywhere. */
const socketPathBytesMax = 103;
const socketName = ".s.PGSQL.5432.lock";

export function placeOf(dataDir: string): Place {
  const root = resolve(dataDir);
  const runDir = join(root, "postgres-run");
  return {
    dataDir: root,
    clusterDir: join(root, "postgres"),
    runDir,
    lockFile: join(runDir, "start.lock"),
    holdersFile: join(runDir, "holders.lock"),
    logFile: join(runDir, "postgres.log"),
  };
}

/** Creates the directories of the server. Postgres, when it runs as another user, must be able to pass through both. */
export function makePlace(place: Place): void {
  if (!existsSync(place.dataDir)) {
    mkdirSync(place.dataDir, { recursive: true });
    chmodSync(place.dataDir, 0o711);
  }
  if (!existsSync(place.runDir)) {
    mkdirSync(place.runDir, { recursive: true });
    chmodSync(place.runDir, 0o711);
  }
}

/** Directories that may hold the socket, best first: the cluster's own, which is closed to others, then short ones. */
export function socketDirs(place: Place): string[] {
  const name = `fairlead-${createHash("sha256").update(place.clusterDir).digest("hex").slice(0, 16)}`;
  return [place.clusterDir, join(tmpdir(), name), join("/tmp", name)].filter(
    (directory) => Buffer.byteLength(join(directory, socketName)) <= socketPathBytesMax,
  );
}
