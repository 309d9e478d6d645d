import { existsSync } from "node:fs";
import { join } from "node:path";
import { AutomationFault } from "../automation-fault.ts";
import { evaluateExpression } from "../condition.ts";
import type { OtherAction } from "../document-model.ts";
import { humanDoneFile } from "../human-done-file.ts";
import { fromJson, type PythonValue, toJson } from "../python-value.ts";
import { countMatches } from "./count.ts";
import { locate } from "./locate.ts";
import type { Session } from "./session.ts";
import type { StepResult } from "./steps.ts";

type Runnable = Exclude<OtherAction, { name: "unsupported" }>;

const humanPollS = 0.5;

/** Runs what neither acts on the page nor extracts from it. */
export async function runOther(session: Session, action: Runnable): Promise<StepResult> {
  switch (action.name) {
    case "set_variable":
      store(session, action, variableValue(session, action));
      return null;
    case "count_locator":
      store(
        session,
        action,
        BigInt(await countMatches(session, await locate(session, action.locator), action.timeoutS)),
      );
      return null;
    case "sleep_action":
      await session.end.sleep(action.seconds);
      return null;
    case "fail_state_action":
      throw new AutomationFault(session.scope.fill(action.message));
    case "human_in_loop_action":
      await waitForHuman(session, action.waitMaxS);
      return null;
    case "assert_network_call":
      assertCall(session, action);
      return null;
  }
}

function variableValue(session: Session, action: Extract<Runnable, { name: "set_variable" }>): PythonValue {
  if (action.expression === null) {
    return typeof action.value === "string" ? session.scope.fill(action.value) : fromJson(action.value);
  }
  return evaluateExpression(action.expression, {
    lookup: (name) => session.scope.lookup(name),
    interpolate: (text) => session.scope.fill(text),
    bracesAreText: true,
  });
}

function store(session: Session, names: { variable: string; outputName: string | null }, value: PythonValue): void {
  session.scope.set(session.scope.fill(names.variable), Array.isArray(value) ? value : [value]);
  if (names.outputName !== null) session.outputs.add({ [session.scope.fill(names.outputName)]: toJson(value) });
}

async function waitForHuman(session: Session, waitMaxS: number): Promise<void> {
  const sign = join(session.files.path("logs"), humanDoneFile);
  session.log.write("info", `Waiting for a human, at most ${waitMaxS} s`);
  const deadline = Date.now() + waitMaxS * 1_000;
  while (!existsSync(sign)) {
    if (Date.now() >= deadline) throw new AutomationFault(`no human was done within ${waitMaxS} s`);
    await session.end.sleep(humanPollS);
  }
}

function assertCall(session: Session, action: Extract<Runnable, { name: "assert_network_call" }>): void {
  const pattern = action.urlPattern === null ? null : session.scope.fill(action.urlPattern);
  const wanted = Object.entries(action.headerFilter).map(
    ([name, value]) => [name.toLowerCase(), session.scope.fill(value)] as const,
  );
  const found = session.network.matching(pattern).some((call) => {
    const headers = { ...call.responseHeaders, ...call.requestHeaders };
    return wanted.every(([name, value]) => headers[name] === value);
  });
  if (!found) throw new AutomationFault(`no call since the last interaction matches ${pattern ?? "anything"}`);
}
