import { expect, test } from "bun:test";
import { testDatabase } from "../support/database.ts";
import { jobOf, openNode } from "../support/engine.ts";
import { until } from "../support/until.ts";

/** Nobody renews within the test, so that the chores count nothing. */
const lease = { leaseMs: 600_000, renewEveryMs: 300_000, giveUpAfterMs: 500_000 };

test("a node that has emptied its queue believes that nothing waits, whatever it had counted before", async () => {
  const database = await testDatabase();
  await using node = await openNode(database.address, { slots: 1, lease });
  const { id } = await node.submitter.submit(jobOf({ target: "hold" }));
  await until("it is held", () => node.runner.isHolding(id));
  await node.submitter.submit(jobOf());
  // As a count leaves it that was made while claims were on their way.
  node.engine.view.waiting = 50;
  node.runner.letGo(id);
  await until("nothing waits any more", () => node.engine.view.waiting === 0);
  expect(await database.sql`SELECT 1 FROM tasks WHERE status = 'queued'`).toHaveLength(0);
});
