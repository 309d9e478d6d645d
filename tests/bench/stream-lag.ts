import { lagOf, openReader } from "./readers.ts";

export type LagOptions = {
  /** Where the job is submitted and released, and where it is read. */
  writeUrl: string;
  readUrl: string;
  readers: number;
  perSecond: number;
  seconds: number;
};

/** Lets a job write so many events a second before so many readers; the lag of its events by their share, in ms. */
export async function streamLag(options: LagOptions): Promise<(share: number) => number> {
  const { writeUrl, readUrl, readers, perSecond, seconds } = options;
  const job = await submit(writeUrl, { function: "ticker", input: { perSecond, seconds }, hold: true });
  const all = await Promise.all(Array.from({ length: readers }, () => openReader(readUrl, job)));
  await fetch(`${writeUrl}/api/v1/jobs/${job}/release`, { method: "POST" });
  await Promise.all(all.map(({ ended }) => ended));
  return lagOf(all);
}

async function submit(url: string, body: unknown): Promise<string> {
  const response = await fetch(`${url}/api/v1/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (response.status !== 202) throw new Error(`the submit answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}
