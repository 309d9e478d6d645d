import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { scratchDirectory } from "../lifecycle/server-process.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const entry = resolve(import.meta.dir, "../../src/client.ts");
const node = Bun.which("node");

/** The client as a browser would load it. */
async function bundle(): Promise<string> {
  const built = await Bun.build({ entrypoints: [entry], target: "browser", format: "esm" });
  if (!built.success) throw new AggregateError(built.logs);
  expect(built.outputs).toHaveLength(1);
  return built.outputs[0]?.text() ?? "";
}

test("the client is a few kilobytes for a browser, and asks for nothing of Bun or Node", async () => {
  const text = await bundle();
  expect(text.length).toBeLessThan(20_000);
  expect(text).not.toMatch(/^import /m);
  expect(text).not.toMatch(/\b(?:Bun|process|Buffer|require)\b/);
});

test.skipIf(node === null)("the client works under Node, over a lost connection", async () => {
  const service = await startService();
  const directory = scratchDirectory("client");
  writeFileSync(join(directory, "client.js"), await bundle());
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(directory, "main.js"), program);
  const child = Bun.spawn([node ?? "", "main.js", service.url], { cwd: directory, stderr: "inherit" });
  const said = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  const { seqs, kinds, message, cuts } = JSON.parse(said);
  expect(seqs).toEqual(seqs.map((_: number, at: number) => at + 1));
  expect(kinds.at(-1)).toBe("completed");
  expect({ message, cuts }).toEqual({ message: "Hello Node!", cuts: 1 });
  await service.stop();
});

/** Cuts its first stream of events behind the first piece. */
const program = `
import { createClient } from "./client.js";
let cuts = 0;
const cutting = async (url, init) => {
  const response = await fetch(url, init);
  if (!url.endsWith("/events") || cuts > 0) return response;
  cuts++;
  const reader = response.body.getReader();
  const body = new ReadableStream({
    async pull(controller) {
      const { value, done } = await reader.read();
      if (!done) controller.enqueue(value);
      await reader.cancel();
      controller.error(new Error("cut"));
    },
  });
  return new Response(body, response);
};
const client = createClient({ url: process.argv[2], fetch: cutting });
const job = await client.submit({ function: "countdown", input: { from: 5, intervalMs: 20 } });
const [seqs, kinds] = [[], []];
for await (const event of client.events(job.id)) {
  seqs.push(event.seq);
  kinds.push(event.kind);
}
const greeting = await client.submit({ function: "hello", input: { name: "Node" } });
const { result } = await client.wait(greeting.id);
console.log(JSON.stringify({ seqs, kinds, message: result.message, cuts }));
`;
