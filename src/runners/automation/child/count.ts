import { errors, type Locator } from "playwright-core";
import type { Session } from "./session.ts";

const stableS = 1;
const pollS = 0.1;
const waitMaxS = 30;

/**
 * How many elements match: after the first has come (or `timeoutS` has passed) the number must stay the same for a second,
 * so that rows that are still arriving count. With a time-out of 0 they are counted as they are.
 */
export async function countMatches(session: Session, locator: Locator, timeoutS: number): Promise<number> {
  if (timeoutS <= 0) return await locator.count();
  try {
    await locator.first().waitFor({ state: "attached", timeout: timeoutS * 1_000 });
  } catch (fault) {
    if (!(fault instanceof errors.TimeoutError)) throw fault;
    return 0;
  }
  const deadline = Date.now() + waitMaxS * 1_000;
  let count = await locator.count();
  for (let steadyS = 0; steadyS < stableS && Date.now() < deadline; steadyS += pollS) {
    await session.end.sleep(pollS);
    const next = await locator.count();
    if (next !== count) steadyS = 0;
    count = next;
  }
  return count;
}
