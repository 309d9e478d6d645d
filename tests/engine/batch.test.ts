import { describe, expect, test } from "bun:test";
import { createBatcher } from "../../src/engine/batch.ts";
import { until } from "../support/until.ts";

const limits = { groupMax: 100, charsOf: () => 1 };

describe("one writer", () => {
  test("writes what arrives in one turn of the event loop as one group, in order", async () => {
    const { groups, write } = recorder();
    const batcher = createBatcher(write, limits);
    expect(await Promise.all([1, 2, 3, 4, 5].map(batcher.add))).toEqual([10, 20, 30, 40, 50]);
    expect(groups).toEqual([[1, 2, 3, 4, 5]]);
  });

  test("writes what arrives meanwhile as the next group, after this one", async () => {
    const { groups, write, letGo } = gate();
    const batcher = createBatcher(write, limits);
    const first = batcher.add(1);
    await until("the first group is being written", () => groups.length === 1);
    const rest = range(2, 40).map(batcher.add);
    await Bun.sleep(20);
    expect(groups).toEqual([[1]]);
    letGo(0);
    expect(await first).toBe(10);
    await until("the second group is being written", () => groups.length === 2);
    expect(groups[1]).toEqual(range(2, 40));
    letGo(1);
    expect(await Promise.all(rest)).toEqual(range(2, 40).map((item) => item * 10));
  });

  test("writes no group of more items or characters than it may", async () => {
    const { groups, write } = recorder();
    await Promise.all(range(1, 7).map(createBatcher(write, { ...limits, groupMax: 3 }).add));
    expect(groups).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
    const wide = recorder();
    const charsOf = (item: number) => (item === 2 ? 100 : 40) * 1024 * 1024;
    await Promise.all(range(1, 4).map(createBatcher(wide.write, { ...limits, charsOf }).add));
    expect(wide.groups).toEqual([[1], [2], [3], [4]]);
  });

  test("goes on after a group that failed", async () => {
    let isAway = true;
    const batcher = createBatcher(async (items: number[]) => {
      if (isAway) throw fault("CONNECTION_CLOSED");
      return items;
    }, limits);
    expect(await outcomes([1, 2].map(batcher.add))).toEqual(["CONNECTION_CLOSED", "CONNECTION_CLOSED"]);
    isAway = false;
    expect(await outcomes([3, 4].map(batcher.add))).toEqual([3, 4]);
  });
});

describe("two writers", () => {
  test("share what arrived together, in order", async () => {
    const { groups, write, letGo } = gate();
    const batcher = createBatcher(write, { ...limits, writersMax: 2 });
    const added = range(1, 20).map(batcher.add);
    await until("two groups are being written", () => groups.length === 2);
    expect(groups).toEqual([range(1, 10), range(11, 20)]);
    letGo(1);
    letGo(0);
    expect(await Promise.all(added)).toEqual(range(1, 20).map((item) => item * 10));
  });

  test("do not part what is too little for two", async () => {
    const { groups, write } = recorder();
    await Promise.all(range(1, 7).map(createBatcher(write, { ...limits, writersMax: 2 }).add));
    expect(groups).toEqual([range(1, 7)]);
  });

  test("begin a second group beside a slow one, and a third after the first that ends", async () => {
    const { groups, write, letGo } = gate();
    const batcher = createBatcher(write, { ...limits, writersMax: 2 });
    const added = [batcher.add(0)];
    await until("the first group is being written", () => groups.length === 1);
    added.push(...range(1, 7).map(batcher.add));
    await Bun.sleep(20);
    expect(groups).toHaveLength(1);
    added.push(batcher.add(8));
    await until("a second one is, too", () => groups.length === 2);
    expect(groups[1]?.[0]).toBe(1);
    added.push(...range(9, 40).map(batcher.add));
    await Bun.sleep(20);
    expect(groups).toHaveLength(2);
    letGo(1);
    await until("the third one is", () => groups.length === 3);
    expect(groups.slice(1, 3).flat()).toEqual(range(1, groups.slice(1, 3).flat().length));
    for (const at of [2, 3, 4, 5, 0]) letGo(at);
    expect(await Promise.all(added)).toEqual(range(0, 40).map((item) => item * 10));
    expect(groups.flat().toSorted((a, b) => a - b)).toEqual(range(0, 40));
  });

  test("share what came during the first group with the one that is written already", async () => {
    const { groups, write, letGo } = gate();
    const batcher = createBatcher(write, { ...limits, writersMax: 2 });
    const added = [batcher.add(0)];
    await until("the first group is being written", () => groups.length === 1);
    added.push(...range(1, 64).map(batcher.add));
    await until("the second group is being written", () => groups.length === 2);
    letGo(0);
    await until("the third group is being written", () => groups.length === 3);
    expect([groups[1]?.length, groups[2]?.length]).toEqual([33, 31]);
    letGo(1);
    letGo(2);
    await Promise.all(added);
  });

  test("never write more than two groups at the same time", async () => {
    let writing = 0;
    let most = 0;
    const batcher = createBatcher(
      async (items: number[]) => {
        most = Math.max(most, ++writing);
        await Bun.sleep(1);
        writing--;
        return items;
      },
      { ...limits, groupMax: 5, writersMax: 2 },
    );
    const added: Promise<number>[] = [];
    for (const item of range(1, 200)) {
      added.push(batcher.add(item));
      if (item % 7 === 0) await Bun.sleep(0);
    }
    expect(await Promise.all(added)).toEqual(range(1, 200));
    expect(most).toBe(2);
  });
});

describe("idle", () => {
  test("is at once where nothing was added", async () => {
    await createBatcher(recorder().write, limits).idle();
  });

  test("waits for every writer, and for refusals, and again for what comes later", async () => {
    const { groups, write, letGo } = gate();
    const batcher = createBatcher(write, { ...limits, writersMax: 2 });
    const added = range(1, 20).map(batcher.add);
    let isIdle = false;
    const idle = batcher.idle().then(() => {
      isIdle = true;
    });
    await until("both are writing", () => groups.length === 2);
    letGo(0);
    await added[0];
    await Bun.sleep(20);
    expect(isIdle).toBe(false);
    letGo(1, fault("CONNECTION_CLOSED"));
    await idle;
    expect((await outcomes(added)).slice(9, 11)).toEqual([100, "CONNECTION_CLOSED"]);
    const later = batcher.add(21);
    const idleAgain = batcher.idle();
    await until("the later one is being written", () => groups.length === 3);
    letGo(2);
    await idleAgain;
    expect(await later).toBe(210);
  });
});

describe("a fault", () => {
  test("of some items is theirs alone: the group is halved until the others are written", async () => {
    const written: number[] = [];
    const batcher = createBatcher(async (items: number[]) => {
      if (items.some((item) => item === 3 || item === 14)) throw fault("22P02");
      written.push(...items);
      return items;
    }, limits);
    const found = await outcomes(range(1, 16).map(batcher.add));
    expect(found).toEqual(range(1, 16).map((item) => (item === 3 || item === 14 ? "22P02" : item)));
    expect(written).toEqual(range(1, 16).filter((item) => item !== 3 && item !== 14));
  });

  test("of a deadlock is nobody's: the halves are written", async () => {
    let tries = 0;
    const batcher = createBatcher(async (items: number[]) => {
      if (tries++ === 0) throw fault("40P01");
      return items;
    }, limits);
    expect(await outcomes(range(1, 4).map(batcher.add))).toEqual([1, 2, 3, 4]);
  });

  test.each(["CONNECTION_CLOSED", "57P01", "53100", "25006"])("%s hits all, and is not tried again", async (code) => {
    let tries = 0;
    const batcher = createBatcher<number, number>(async () => {
      tries++;
      throw fault(code);
    }, limits);
    expect(await outcomes(range(1, 16).map(batcher.add))).toEqual(range(1, 16).map(() => code));
    expect(tries).toBe(1);
  });
});

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

function recorder() {
  const groups: number[][] = [];
  const write = async (items: number[]) => {
    groups.push(items);
    return items.map((item) => item * 10);
  };
  return { groups, write };
}

/** Writes that end when the test says so, by the number of the group; one that is let go beforehand ends at once. */
function gate() {
  const groups: number[][] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  const at = (index: number) => (gates[index] ??= Promise.withResolvers<void>());
  return {
    groups,
    write: async (items: number[]) => {
      const index = groups.push(items) - 1;
      await at(index).promise;
      return items.map((item) => item * 10);
    },
    letGo(index: number, refusal?: Error) {
      if (refusal === undefined) at(index).resolve();
      else at(index).reject(refusal);
    },
  };
}

function fault(code: string): Error {
  return Object.assign(new Error(`refused with ${code}`), { code });
}

/** What each was told: its result, or the code of its refusal. */
async function outcomes(added: Promise<number>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(added);
  return settled.map((one) => (one.status === "fulfilled" ? one.value : (one.reason as { code: string }).code));
}
