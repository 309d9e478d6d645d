import { closeSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { readProc } from "./processes.ts";

/**
 * Ends runs whose server hangs: a process of its own reads in a file when each must be over, and kills those that are
 * not. It ends with the server, whose death ends its runs in another way.
 */
export type Backstop = {
  /**
   * Has `pid`, a child of this process with `token` as one of its arguments, killed in `afterS` seconds, whatever this
   * process does until then.
   */
  hold(pid: number, token: string, afterS: number): void;
  /** To be called when `pid` has ended. */
  letGo(pid: number): void;
  close(): Promise<void>;
};

type Keeper = Bun.Subprocess<"pipe", "ignore", "ignore">;

const againAfterMs = 1_000;
const lookEveryUsualS = 5;
/** So many lines are added before those of runs that have ended are left out. */
const addedMax = 200;
const fileName = "backstop";

/**
 * Lines are `pid token due .`; the last word shows that a line is whole, and the token that the number is not another's by
 * now. Time is that since the start of the machine: a clock that is set forward must not end a run. Nothing is ever said
 * on stdin: its end is that of the server.
 */
const script = `
trap '' HUP INT TERM
while :; do
  read -r -t "$1"
  [ $? -gt 128 ] || exit 0
  read -r now idle < /proc/uptime
  now=\${now%.*}
  while read -r pid token due whole; do
    [ "$whole" = . ] && [ "$now" -ge "$due" ] || continue
    while IFS= read -r -d '' word; do
      [ "$word" != "$token" ] || { kill -KILL "$pid"; break; }
    done < "/proc/$pid/cmdline"
  done < ${fileName}
done`;

/** `directory` is the server's alone. The process is started with the first run, and again should somebody end it. */
export function createBackstop(directory: string, lookEveryS = lookEveryUsualS): Backstop {
  const path = join(directory, fileName);
  const held = new Map<number, string>();
  let keeper: Keeper | null = null;
  let file: number | null = null;
  let added = 0;
  const rewrite = () => {
    writeFileSync(`${path}.new`, [...held.values()].join(""), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    const before = file;
    file = openSync(path, "a");
    added = 0;
    if (before !== null) closeSync(before);
    return file;
  };
  const keep = () => {
    const child = startKeeper(directory, lookEveryS);
    const again = () => {
      if (keeper !== child) return;
      try {
        keep();
      } catch {
        // The machine has no room for a process now, and may have in a moment.
        setTimeout(again, againAfterMs).unref();
      }
    };
    void child.exited.then(() => setTimeout(again, againAfterMs).unref());
    keeper = child;
  };
  return {
    hold: (pid, token, afterS) => {
      const line = `${pid} ${token} ${Math.ceil(uptimeS() + afterS)} .\n`;
      const target = file === null || added >= addedMax ? rewrite() : file;
      writeSync(target, line);
      held.set(pid, line);
      added++;
      if (keeper === null) keep();
    },
    letGo: (pid) => void held.delete(pid),
    close: async () => {
      const last = keeper;
      keeper = null;
      last?.kill("SIGKILL");
      await last?.exited;
      if (file !== null) closeSync(file);
      file = null;
    },
  };
}

/** In a session of its own: what is sent to the server's group, as from a terminal, is not for it. */
function startKeeper(directory: string, lookEveryS: number): Keeper {
  const bash = [Bun.which("bash") ?? "/bin/bash", "--norc", "--noprofile", "-c", script];
  const child = Bun.spawn([...bash, "backstop", String(lookEveryS)], {
    ...{ stdio: ["pipe", "ignore", "ignore"], detached: true, cwd: directory },
    env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
  });
  child.unref();
  return child;
}

function uptimeS(): number {
  return Number.parseFloat(readProc("/proc/uptime"));
}
