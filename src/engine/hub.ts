/** One line of a job's history as subscribers see it. `data` is JSON text. */
export type JobEvent = { seq: number; task: number; at: string; kind: string; data: string };

export type FinishedJob = { status: "succeeded" | "failed" | "cancelled"; output: string | null; error: string | null };

type Listener = (events: JobEvent[] | null) => void;
type Waiter = (news: FinishedJob | "look" | "leave") => void;

/**
 * Who on this node waits for news of which job. Events of jobs that run here arrive with `publish`; for all others
 * `poke` says "look in the database".
 */
export class Hub {
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #waiters = new Map<string, Set<Waiter>>();

  /** Calls `listener` with committed events, or with null when the database has news. Returns how to stop. */
  listen(jobId: string, listener: Listener): () => void {
    return add(this.#listeners, jobId, listener);
  }

  /** Calls `waiter` with the end of the job, to look when the database knows it, to leave when this node stops. Returns how to stop. */
  wait(jobId: string, waiter: Waiter): () => void {
    return add(this.#waiters, jobId, waiter);
  }

  hasListeners(jobId: string): boolean {
    return this.#listeners.has(jobId);
  }

  /** Null says that there are new ones in the database. */
  publish(jobId: string, events: JobEvent[] | null): void {
    for (const listener of this.#listeners.get(jobId) ?? []) listener(events);
  }

  finished(jobId: string, finished: FinishedJob): void {
    for (const waiter of this.#waiters.get(jobId) ?? []) waiter(finished);
  }

  /** Something happened to this job that this node did not see itself. */
  poke(jobId: string): void {
    for (const listener of this.#listeners.get(jobId) ?? []) listener(null);
    for (const waiter of this.#waiters.get(jobId) ?? []) waiter("look");
  }

  /** After a lost notification nobody knows what was missed: everybody looks. */
  pokeAll(): void {
    for (const jobId of new Set([...this.#listeners.keys(), ...this.#waiters.keys()])) this.poke(jobId);
  }

  /** This node stops: nobody can wait here for what others run. */
  dismiss(): void {
    for (const waiters of [...this.#waiters.values()]) for (const waiter of [...waiters]) waiter("leave");
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  get listening(): number {
    return this.#listeners.size;
  }
}

function add<T>(map: Map<string, Set<T>>, jobId: string, entry: T): () => void {
  const set = map.get(jobId) ?? new Set<T>();
  map.set(jobId, set);
  set.add(entry);
  return () => {
    set.delete(entry);
    if (set.size === 0 && map.get(jobId) === set) map.delete(jobId);
  };
}
