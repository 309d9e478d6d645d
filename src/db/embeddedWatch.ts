import type { Log } from "../log.ts";
import { isRunning } from "./embeddedPostmaster.ts";

const lookEveryMs = 500;
const retryMsMax = 30_000;

/**
 * Looks whether the process is there, without any SQL, and has `revive` start another when it is not: a Postgres that
 * was killed must not leave a server without one until somebody restarts that, too. Returns the end of the watch,
 * which waits for a revival under way.
 */
export function watchOver(firstPid: number, revive: () => Promise<number>, log: Log): () => Promise<void> {
  let pid = firstPid;
  let waitMs = lookEveryMs;
  let work = Promise.resolve();
  let timer = setTimeout(look, waitMs).unref();
  let isOver = false;

  function look(): void {
    work = (isRunning(pid) ? Promise.resolve() : bringBack()).then(() => {
      if (!isOver) timer = setTimeout(look, waitMs).unref();
    });
  }

  async function bringBack(): Promise<void> {
    log.error("embedded Postgres is gone and is started again", { pid });
    try {
      pid = await revive();
      waitMs = lookEveryMs;
    } catch (fault) {
      waitMs = Math.min(waitMs * 2, retryMsMax);
      log.error("embedded Postgres did not come back", { fault, nextTryMs: waitMs });
    }
  }

  return async () => {
    isOver = true;
    clearTimeout(timer);
    await work;
  };
}
