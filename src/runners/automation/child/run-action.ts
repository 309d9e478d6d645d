import { AutomationFault } from "../automation-fault.ts";
import type { Action, ActionNode } from "../document-model.ts";
import { runElementAction } from "./element-action.ts";
import { runExtraction } from "./extraction.ts";
import { runPageAction } from "./page-action.ts";
import { runOther } from "./run-other.ts";
import type { Session } from "./session.ts";
import { runStep, type StepName, type StepResult } from "./steps.ts";

const newTabTimeoutMs = 10_000;

/** Runs one action node: its pause, the action, then the new tab it opens or its second pause. */
export async function runAction(session: Session, node: ActionNode): Promise<void> {
  await session.end.sleep(node.beforeSleepS);
  session.tabs.followNewest();
  session.scope.set("current_time", [String(Math.floor(Date.now() / 1_000))]);
  session.scope.set("current_page_url", [(await session.end.guard(session.tabs.current())).url()]);
  if (node.action.kind === "element" || node.action.kind === "page") session.network.clear();
  await runStep(
    session,
    stepName(node.number, node.action),
    () => perform(session, node),
    () => session.end.sleep(node.expectNewTab ? 0 : node.endSleepS),
  );
  if (node.expectNewTab && !(await session.end.guard(session.tabs.followNext(newTabTimeoutMs)))) {
    session.log.write("warn", `node ${node.number}: no tab was opened within ${newTabTimeoutMs / 1_000} s`);
  }
}

async function perform(session: Session, { action }: ActionNode): Promise<StepResult> {
  switch (action.kind) {
    case "element":
      return await runElementAction(session, action.element);
    case "page":
      return await runPageAction(session, action.page);
    case "extraction":
      return await runExtraction(session, action.extraction);
    case "other":
      if (action.other.name === "unsupported") {
        throw new AutomationFault(`this cannot be run here: it needs ${action.other.needs}`);
      }
      return await runOther(session, action.other);
  }
}

function stepName(node: number, action: Action): StepName {
  switch (action.kind) {
    case "element": {
      const { command, xpath } = action.element.target;
      return { node, action: action.element.name, command: command ?? xpath };
    }
    case "page":
      return { node, action: action.page.name, command: pageCommand(action.page) };
    case "extraction": {
      const { extraction } = action;
      const command = {
        locator: "command",
        network_call: "urlPattern",
        api_call: "url",
        screenshot: "filename",
        state: "",
      };
      return { node, action: `extract ${extraction.name}`, command: textOf(extraction, command[extraction.name]) };
    }
    case "other":
      if (action.other.name === "unsupported") return { node, action: action.other.field, command: null };
      return {
        node,
        action: action.other.name,
        command: otherCommand(action.other),
        isBlind: action.other.name === "set_variable",
      };
  }
}

function pageCommand(page: Extract<Action, { kind: "page" }>["page"]): string | null {
  if (page.name === "key_press") return page.keys.join("+");
  if (page.name === "switch_tab") return String(page.tabIndex);
  return textOf(page, page.name === "close_tabs_until" ? "matchingUrl" : "url");
}

function otherCommand(other: Extract<Action, { kind: "other" }>["other"]): string | null {
  if (other.name === "set_variable") return `${other.variable} = ${other.expression ?? JSON.stringify(other.value)}`;
  return textOf(other, other.name === "count_locator" ? "locator" : "urlPattern");
}

function textOf(action: object, field: string): string | null {
  const value: unknown = Reflect.get(action, field);
  return typeof value === "string" ? value : null;
}
