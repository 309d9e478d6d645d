/** Null when all is well, else what is not, in a few words. May throw: that is a complaint too. */
export type Check = () => string | null | Promise<string | null>;

const checkMaxMs = 1_000;

/** A check that answers within a second, whatever it looks at. */
export async function boundedCheck(check: Check): Promise<string | null> {
  let timer: Timer | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, checkMaxMs, `no answer within ${checkMaxMs} ms`);
  });
  try {
    return await Promise.race([runCheck(check), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runCheck(check: Check): Promise<string | null> {
  try {
    return await check();
  } catch (fault) {
    // The reason may hold addresses and names, and whoever asks needs no key here: that it failed is all they are told.
    void fault;
    return "failed";
  }
}
