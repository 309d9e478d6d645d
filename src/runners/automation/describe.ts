import { inspectAutomation, loadAutomation } from "./load-automation.ts";

// Loads one automation file away from the server and says what it declares: `bun describe.ts <file>` prints one JSON line.

const [file = ""] = process.argv.slice(2);
let answer: object;
try {
  answer = inspectAutomation(await loadAutomation(file));
} catch (thrown) {
  answer = { problem: thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown) };
}
// Files may print while they load; the answer is the last line, told apart by its mark.
process.stdout.write(`\n${JSON.stringify({ automation: answer })}\n`, () => process.exit(0));
