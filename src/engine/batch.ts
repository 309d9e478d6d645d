import { codeOf, isPassingFault } from "../db/client.ts";

/** Collects what arrives while the last group is being written, then writes it as one. */
export type Batcher<In, Out> = {
  add(item: In): Promise<Out>;
  /** Settles when everything added so far has been written or refused. */
  idle(): Promise<void>;
};

type Waiting<In, Out> = { item: In; resolve: (out: Out) => void; reject: (fault: unknown) => void };

export type BatchLimits<In> = {
  /** Most items in a group. */
  groupMax: number;
  /** Characters of an item. Postgres takes no statement of a gigabyte. */
  charsOf(item: In): number;
  /** Groups that may be written at the same time, by default 1: each is written before what comes later. */
  writersMax?: number;
};

/** Quotes are written as two characters in each of two layers of JSON, so this leaves room below Postgres's limit. */
const groupCharsMax = 64 * 1024 * 1024;
/** Fewer are not worth a group beside the one that is being written. */
const besideMin = 8;

/**
 * Group commit without a timer: the group is whatever arrived during the last write, at most `groupMax` items.
 * `write` returns one result an item, in order, and writes all of them or none. When it throws for the sake of one item,
 * the group is halved until the others are written: only the culprits are rejected.
 */
export function createBatcher<In, Out>(
  write: (items: In[]) => Promise<Out[]>,
  limits: BatchLimits<In>,
): Batcher<In, Out> {
  const waiting: Waiting<In, Out>[] = [];
  const { writersMax = 1 } = limits;
  let writers = 0;
  let writing = 0;
  let idle = Promise.withResolvers<void>();

  async function drain(): Promise<void> {
    // Requests that arrive in the same turn of the event loop belong in one group.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const group = waiting.splice(0, groupSize(waiting, fairShare(), limits));
      writing += group.length;
      await settle(group, write);
      writing -= group.length;
    }
    writers--;
    if (writers === 0) idle.resolve();
  }

  /** Callers that come again when they are answered would gather in one group, and database and server wait for each other in turn. */
  function fairShare(): number {
    return Math.ceil((waiting.length + writing) / writers);
  }

  return {
    add(item) {
      return new Promise<Out>((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        if (writers >= writersMax || (writers > 0 && waiting.length < besideMin)) return;
        if (writers === 0) idle = Promise.withResolvers<void>();
        writers++;
        void drain();
      });
    },
    async idle() {
      if (writers > 0) await idle.promise;
    },
  };
}

function groupSize<In, Out>(waiting: Waiting<In, Out>[], share: number, limits: BatchLimits<In>): number {
  const { groupMax, charsOf } = limits;
  let size = 0;
  let chars = 0;
  for (const { item } of waiting) {
    chars += charsOf(item);
    if (size > 0 && (size >= Math.min(share, groupMax) || chars > groupCharsMax)) break;
    size++;
  }
  return size;
}

async function settle<In, Out>(group: Waiting<In, Out>[], write: (items: In[]) => Promise<Out[]>): Promise<void> {
  try {
    const results = await write(group.map((entry) => entry.item));
    for (const [at, entry] of group.entries()) entry.resolve(results[at] as Out);
  } catch (fault) {
    if (group.length > 1 && mayBeOneItem(fault)) {
      const middle = Math.ceil(group.length / 2);
      await settle(group.slice(0, middle), write);
      await settle(group.slice(middle), write);
    } else for (const entry of group) entry.reject(fault);
  }
}

/** A database that is away or full refuses everybody; anything else, a deadlock too, may be the fault of one. */
function mayBeOneItem(fault: unknown): boolean {
  return !isPassingFault(fault) || codeOf(fault)?.startsWith("40") === true;
}
