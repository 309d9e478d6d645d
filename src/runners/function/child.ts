import { dirname } from "node:path";
import { defineFunction } from "../../functions.ts";
import { listen, say } from "./child-channel.ts";
import { described, loadProblem } from "./child-describe.ts";
import { Execution } from "./child-execution.ts";
import { knownFunction, loadFunction } from "./child-load.ts";
import { captureOutput } from "./child-output.ts";
import { thrownAt, thrownText } from "./child-result.ts";
import type { Order } from "./frames.ts";
import { checkParamsFully } from "./params.ts";

// The program of a function process. It runs one execution at a time, for as long as the server holds its sockets.

const { exit } = process;
const { stringify } = JSON;
const strayBytesMax = 65_536;
const inbox: Extract<Order, { kind: "run" }>[] = [];
let running: Execution | null = null;
let strayBytesLeft = strayBytesMax;

// `import … from "fairlead"` works in every function, wherever the files are and with nothing installed.
Bun.plugin({
  name: "fairlead",
  setup: (build) => {
    build.module("fairlead", () => ({ exports: { defineFunction }, loader: "object" }));
  },
});
const flushOutput = captureOutput({
  isFull: () => (running === null ? strayBytesLeft <= 0 : running.isFull),
  write: (level, text) => (running === null ? stray(text) : running.log(level, text)),
});
process.on("uncaughtException", escaped);
process.on("unhandledRejection", escaped);
process.on("exit", flushOutput);
await listen(obey, () => exit(0));
say({ kind: "ready" });

function obey(order: Order): void {
  switch (order.kind) {
    case "run":
      inbox.push(order);
      if (inbox.length === 1) void runNext();
      return;
    case "describe":
      void describe(order);
      return;
    case "release":
      release();
      return;
    case "abort":
      if (running?.order.nonce !== order.nonce) return;
      release();
      running.abort(order.reason);
  }
}

/** Gives back what has not been begun. */
function release(): void {
  say({ kind: "released", nonces: inbox.splice(0).map(({ nonce }) => nonce) });
}

async function runNext(): Promise<void> {
  const order = running === null ? inbox.shift() : undefined;
  if (order === undefined) return;
  const execution = new Execution(order);
  running = execution;
  await run(execution);
  // The server ends a process after one of these; nothing may be begun meanwhile.
  if (execution.isLast) return;
  running = null;
  // A new turn for each, so that what one left behind to be thrown is not taken for the next one's.
  if (inbox.length > 0) setImmediate(runNext);
}

async function run(execution: Execution): Promise<void> {
  const { file, name, input } = execution.order;
  try {
    const definition = knownFunction(file) ?? (await loadFunction(file, name));
    const checked = checkParamsFully(definition.params ?? {}, input);
    if (checked.ok) end(execution, await definition.handler(checked.params, execution.context));
    else execution.fail("invalid", checked.message);
  } catch (thrown) {
    const at = thrownAt(thrown, dirname(file));
    if (at !== "") execution.log("debug", at);
    flushOutput();
    execution.fail("function_error", thrownText(thrown));
  }
}

function end(execution: Execution, value: unknown): void {
  flushOutput();
  execution.finish(value);
}

async function describe({ file, name, nonce }: Extract<Order, { kind: "describe" }>): Promise<void> {
  let json: string;
  try {
    json = stringify(described(await loadFunction(file, name)));
  } catch (thrown) {
    json = stringify({ problem: loadProblem(thrown, file) });
  }
  say({ kind: "done", nonce, wallMs: 0, cpuMs: 0, rssMb: 0, json });
}

/** Something thrown where nobody could catch it. Whoever runs now has to answer for it, and the process is given up. */
function escaped(thrown: unknown): void {
  if (running !== null) {
    running.fail("function_error", thrownText(thrown), true);
    return;
  }
  stray(`Thrown after its function had ended: ${thrownText(thrown)}`);
  say({ kind: "retiring" });
  exit(1);
}

function stray(text: string): void {
  if (strayBytesLeft <= 0) return;
  strayBytesLeft -= text.length;
  say({ kind: "stray", text: text.slice(0, strayBytesMax) });
}
