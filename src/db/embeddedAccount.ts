import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { EmbeddedError } from "./embeddedFaults.ts";

export type Ids = { uid: number; gid: number };

/**
 * As whom Postgres runs. It refuses to be root, so a root server either drops to another user (`ids`), or, where that
 * user could not reach the directory, stays itself inside a user namespace that shows it as another user (`prefix`).
 */
export type Account = { user: string; prefix: string[]; ids: Ids | null };

type Entry = Ids & { user: string };

const preferredUsers = ["fairlead", "postgres", "nobody"];
/** What a user namespace shows for everybody it does not know: must not be taken for somebody. */
const overflowUid = 65_534;

/** Chooses the account for a cluster in `clusterDir`, which may not exist yet. Throws `EmbeddedError` when none fits. */
export function chooseAccount(clusterDir: string): Account {
  if (process.getuid?.() !== 0) return { user: userName(), prefix: [], ids: null };
  const entries = passwdEntries();
  const dropped = dropCandidates(entries, clusterDir).find((entry) => canEnter(dirname(clusterDir), entry));
  if (dropped) return { user: dropped.user, prefix: [], ids: { uid: dropped.uid, gid: dropped.gid } };
  return mappedAccount(entries, clusterDir);
}

/** Starts a program as the account, in its own session so that a Ctrl-C in the terminal does not reach it. */
export function spawnAs(account: Account, command: string[], output: number): Bun.Subprocess<"ignore", number, number> {
  return Bun.spawn([...account.prefix, ...command], {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
    stdin: "ignore",
    stdout: output,
    stderr: output,
    detached: true,
    ...account.ids,
  });
}

/** True when the user may pass through every directory down to `directory`. Looks at mode bits alone, not at ACLs. */
export function canEnter(directory: string, ids: Ids): boolean {
  for (let at = realpathSync(directory); ; at = dirname(at)) {
    const facts = statSync(at);
    const bit = facts.uid === ids.uid ? 0o100 : facts.gid === ids.gid ? 0o010 : 0o001;
    if ((facts.mode & bit) === 0) return false;
    if (dirname(at) === at) return true;
  }
}

/** The name that Postgres sees behind this process's end of a socket. Bun's `userInfo()` would tell what USER says. */
export function userName(): string {
  const asked = Bun.spawnSync(["id", "-un"], { stderr: "ignore" });
  if (asked.success) return asked.stdout.toString().trim();
  throw new EmbeddedError(
    `user id ${process.getuid?.() ?? "?"} has no name, and Postgres insists on one: add it to /etc/passwd, run as ` +
      `another user, or set DATABASE_URL`,
  );
}

function dropCandidates(entries: Entry[], clusterDir: string): Entry[] {
  const owner = existsSync(clusterDir) ? statSync(clusterDir).uid : 0;
  const named = preferredUsers.map((user) => entries.find((entry) => entry.user === user));
  return [entries.find((entry) => entry.uid === owner), ...named, ...entries]
    .filter((entry) => entry !== undefined)
    .filter((entry) => entry.uid > 0);
}

function mappedAccount(entries: Entry[], clusterDir: string): Account {
  const shown = entries.find((entry) => entry.uid > 0 && entry.uid !== overflowUid);
  const unshare = Bun.which("unshare");
  if (shown && unshare) {
    const prefix = [unshare, "--user", `--map-user=${shown.uid}`, `--map-group=${shown.gid}`];
    if (Bun.spawnSync([...prefix, "/bin/true"]).success) return { user: shown.user, prefix, ids: null };
  }
  const blocked = dirname(clusterDir);
  throw new EmbeddedError(
    `Postgres does not run as root, and no other user can reach ${blocked}: set DATA_DIR to a directory such as ` +
      `/var/lib/fairlead, open the way with "chmod o+x" on its parents, start as another user, or set DATABASE_URL`,
  );
}

function passwdEntries(): Entry[] {
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  return lines.flatMap((line) => {
    const [user, , uid, gid] = line.split(":");
    return user && uid && gid ? [{ user, uid: Number(uid), gid: Number(gid) }] : [];
  });
}
