import { format } from "node:util";
import { EndSignal } from "./child/end-signal.ts";
import { runTask } from "./child/run-task.ts";
import type { Level } from "./child/task-log.ts";
import { WarmBrowser } from "./child/warm-browser.ts";
import type { ChildSettings, Reply, TaskOrder } from "./messages.ts";

// The program of a browser process: one warm browser, one task at a time, for as long as the server holds the channel.

const settings = JSON.parse(process.argv[2] ?? "") as ChildSettings;
const browser = new WarmBrowser(settings);
let running: { order: TaskOrder; end: EndSignal; done: Promise<void> } | null = null;

for (const level of ["debug", "info", "warn", "error"] as const) {
  console[level] = (...parts: unknown[]) => print(level, parts);
}
console.log = (...parts: unknown[]) => print("info", parts);
process.on("message", (order: TaskOrder) => {
  const end = new EndSignal();
  running = { order, end, done: run(order, end) };
});
process.on("SIGTERM", () => void leave("the task was stopped"));
// The server is gone: nobody wants a result, and Chromium goes when its pipe closes.
process.on("disconnect", () => process.exit(0));
process.on("uncaughtException", escaped);
process.on("unhandledRejection", escaped);
say({ kind: "ready" });

function say(reply: Reply): void {
  process.send?.(reply);
}

async function run(order: TaskOrder, end: EndSignal): Promise<void> {
  const { output, failure } = await runTask(order, { browser, end, say });
  running = null;
  say({ kind: "done", nonce: order.nonce, output, failure });
  if (end.reason === null) browser.prepareContext();
}

/** Lets the task put its files in order, closes the browser, and ends. The server kills what takes longer than its grace. */
async function leave(reason: string): Promise<void> {
  const task = running;
  task?.end.end(reason);
  await task?.done;
  await browser.close();
  process.exit(0);
}

/** Something was thrown where nobody could catch it: the task at hand answers for it, and the process is given up. */
function escaped(thrown: unknown): void {
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  say({ kind: "retiring" });
  if (running === null) void leave("");
  else void leave(`an error was thrown outside of the automation's own promises: ${text.slice(0, 1_000)}`);
}

function print(level: Level, parts: unknown[]): void {
  if (running !== null)
    say({ kind: "log", nonce: running.order.nonce, level, text: format(...parts).slice(0, 10_000) });
}
