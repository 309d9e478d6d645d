import type { Client } from "../client.ts";
import { hasEnded } from "../client/wait-for-end.ts";
import { findJob } from "./find-job.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Terminal } from "./terminal.ts";

/** What a shell shows for a program that Ctrl-C ended. */
const interruptedCode = 130;
/** Time for the second Ctrl-C. */
const secondWithinMs = 2_000;
const cancelPatienceMs = 30_000;

/** After the first Ctrl-C: the job goes on, and it is said how to come back. A second one cancels it. Resolves with the exit code. */
export async function detach(
  { client, terminal }: { client: Client; terminal: Terminal },
  id: string,
  interrupts: Interrupts,
): Promise<number> {
  const job = await findJob(client, id);
  terminal.say("");
  if (job === null) terminal.say("Stopped before the job was submitted.");
  else if (hasEnded(job)) terminal.say(`The job has ended, and its files stay: fairlead files ${id} -o DIR`);
  else await leaveOrCancel({ client, terminal }, id, interrupts.second);
  return interruptedCode;
}

async function leaveOrCancel(
  { client, terminal }: { client: Client; terminal: Terminal },
  id: string,
  second: AbortSignal,
): Promise<void> {
  terminal.say(`Detached: the job goes on. Come back with: fairlead logs ${id} --follow`);
  terminal.say("Ctrl-C again cancels it.");
  await Promise.race([Bun.sleep(secondWithinMs), aborted(second)]);
  if (!second.aborted) return;
  await client.cancel(id);
  const job = await client.wait(id, { timeoutMs: cancelPatienceMs });
  terminal.say(`The job is ${job.status}.`);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
