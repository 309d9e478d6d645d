import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { findChromium } from "../../src/runners/automation/find-chromium.ts";
import { measure, medianOf, type Row } from "./row.ts";
import { type BenchService, startBenchService } from "./service.ts";

const runsPerRound = 10;
const viewport = { width: 1_280, height: 720 };
const pages = join(import.meta.dir, "../../automations/pages");

/** The same script on a warm browser: driven by playwright-core here, and as a task of the service. */
export async function automationRows(rounds: number): Promise<Row[]> {
  const found = findChromium(Bun.env["CHROMIUM_PATH"] ?? "", Bun.env["PATH"] ?? "");
  if ("problem" in found) return [];
  const site = startSite();
  const directory = await mkdtemp(join(tmpdir(), "fairlead-bench-automations-"));
  await Bun.write(join(directory, "sign-up.ts"), program);
  const browser = await chromium.launch({ executablePath: found.path, args: ["--disable-gpu"] });
  const service = await startBenchService({ AUTOMATIONS_DIR: directory });
  try {
    await taskMs(service, site.url);
    await bareMs(browser, site.url);
    const bare = await measure(
      { name: "floor: a form filled in by playwright-core, warm browser, median", unit: "ms", better: "lower" },
      rounds,
      () => medianMs(() => bareMs(browser, site.url)),
    );
    const row = {
      name: "the same script as a task, overhead over playwright-core, median",
      unit: "ms",
      better: "lower",
      reach: 250,
      note: "with its trajectory and final screenshot, from the request to the recorded end",
    } as const;
    const overhead = async () => (await medianMs(() => taskMs(service, site.url))) - bare.median;
    return [bare, await measure(row, rounds, overhead)];
  } finally {
    await service.stop();
    await browser.close();
    site.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

const steps = `
    await page.goto(url);
    await page.getByLabel("Full name").fill("Alice Doe");
    await page.getByLabel("Email").fill("alice@example.com");
    await page.getByLabel("Plan").selectOption("Team");
    await page.getByLabel("I agree to the terms").check();
    await page.getByRole("button", { name: "Create account" }).click();
    return { account: await page.getByTestId("number").textContent() };`;
const program = `export default {
  parameters: { url: ["http://localhost/"] },
  async run({ page, input }) {
    const url = input.url[0];${steps}
  },
};
`;
// One text for both, so that neither can come to do less than the other.
const drive = new Function("page", "url", `return (async () => {${steps}\n})();`) as (
  page: unknown,
  url: string,
) => Promise<{ account: string | null }>;

function startSite(): { url: string; stop(): void } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(Bun.file(join(pages, "sign-up.html"))),
  });
  return { url: `http://127.0.0.1:${server.port}/`, stop: () => void server.stop(true) };
}

async function bareMs(browser: Browser, url: string): Promise<number> {
  const startedAt = performance.now();
  const context = await browser.newContext({ acceptDownloads: true, viewport });
  const { account } = await drive(await context.newPage(), url);
  await context.close();
  if (account === null || account === "") throw new Error("the page gave no account");
  return performance.now() - startedAt;
}

async function taskMs(service: BenchService, url: string): Promise<number> {
  const startedAt = performance.now();
  const response = await fetch(`${service.url}/api/v1/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json", prefer: "wait=60" },
    body: JSON.stringify({ automation: "sign-up", input: { url: [url] } }),
  });
  const job = (await response.json()) as { status: string; error: unknown };
  if (job.status !== "succeeded") throw new Error(`a task was answered ${response.status}: ${JSON.stringify(job)}`);
  return performance.now() - startedAt;
}

async function medianMs(once: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runsPerRound; run++) times.push(await once());
  return medianOf(times);
}
