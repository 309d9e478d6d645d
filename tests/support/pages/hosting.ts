import { Automations } from "./automate.ts";

// Runs the document of its argument, as a server would, and prints what the task says.

const automations = new Automations();
const [text = "{}"] = process.argv.slice(2);
const { run, logs } = automations.start({ document: JSON.parse(text) });
let printed = 0;
const printing = setInterval(() => {
  for (const line of logs.slice(printed)) console.log(line);
  printed = logs.length;
}, 25);
await run.done;
clearInterval(printing);
await automations[Symbol.asyncDispose]();
