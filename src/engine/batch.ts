/** Collects what arrives while the last group is being written, then writes it as one. */
export type Batcher<In, Out> = {
  add(item: In): Promise<Out>;
  /** Settles when everything added so far has been written or refused. */
  idle(): Promise<void>;
};

type Waiting<In, Out> = { item: In; resolve: (out: Out) => void; reject: (fault: unknown) => void };

/**
 * Group commit without a timer: the group is whatever arrived during the last write, at most `groupMax` items.
 * `write` returns one result an item, in order; when it throws, every item of the group is rejected with that fault.
 */
export function createBatcher<In, Out>(
  write: (items: In[]) => Promise<Out[]>,
  options: { groupMax: number },
): Batcher<In, Out> {
  let waiting: Waiting<In, Out>[] = [];
  let writing: Promise<void> | null = null;

  async function drain(): Promise<void> {
    // Requests that arrive in the same turn of the event loop belong in one group.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const group = waiting.length <= options.groupMax ? waiting : waiting.slice(0, options.groupMax);
      waiting = waiting.length <= options.groupMax ? [] : waiting.slice(options.groupMax);
      await settle(group, write);
    }
    writing = null;
  }

  return {
    add(item) {
      return new Promise<Out>((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        writing ??= drain();
      });
    },
    async idle() {
      while (writing !== null) await writing;
    },
  };
}

async function settle<In, Out>(group: Waiting<In, Out>[], write: (items: In[]) => Promise<Out[]>): Promise<void> {
  try {
    const results = await write(group.map((entry) => entry.item));
    group.forEach((entry, at) => entry.resolve(results[at] as Out));
  } catch (fault) {
    for (const entry of group) entry.reject(fault);
  }
}
