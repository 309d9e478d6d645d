import { watch } from "node:fs";
import type { Log } from "../../log.ts";

// Editors write a file in several steps; one reload is enough for all of them.
const calmMs = 100;

/** Calls `reload` after changes in a directory have calmed down, one call at a time. Returns the function that ends it. */
export function watchDirectory(directory: string, reload: () => Promise<void>, log: Log): () => void {
  let timer: Timer | null = null;
  let reloading: Promise<void> = Promise.resolve();
  const reloadNow = async () => {
    try {
      await reload();
      log.info("functions were reloaded", { directory });
    } catch (fault) {
      log.error("functions could not be reloaded", { directory, fault });
    }
  };
  const changed = () => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(() => {
      reloading = reloading.then(reloadNow);
    }, calmMs);
  };
  const close = () => {
    if (timer !== null) clearTimeout(timer);
  };
  try {
    const watcher = watch(directory, { recursive: true }, changed);
    watcher.on("error", (fault) => log.warn("the functions are not watched any more", { directory, fault }));
    return () => {
      close();
      watcher.close();
    };
  } catch (fault) {
    log.warn("the functions cannot be watched", { directory, fault });
    return close;
  }
}
