import type { AssertNode, AutomationNode, ChoiceNode } from "../document-model.ts";
import { AutomationFault } from "../automation-fault.ts";
import { isConditionTrue } from "../condition.ts";
import { locate } from "./locate.ts";
import { runAction } from "./run-action.ts";
import { runLoop } from "./run-loop.ts";
import type { Session } from "./session.ts";
import { runStep } from "./steps.ts";

/** Runs nodes in order. `onDone` is told how many of them are done. Throws at the first that fails. */
export async function runNodes(
  session: Session,
  nodes: readonly AutomationNode[],
  onDone: (count: number) => void = () => undefined,
): Promise<void> {
  for (const [at, node] of nodes.entries()) {
    await runNode(session, node);
    onDone(at + 1);
  }
}

async function runNode(session: Session, node: AutomationNode): Promise<void> {
  switch (node.type) {
    case "action_node":
      return await runAction(session, node);
    case "for_loop_node":
      return await runLoop(session, node, runNodes);
    case "if_else_node":
      return await runChoice(session, node);
    case "assert_locator_node":
      return await runAssert(session, node);
    case "private_node":
      return await runStep(session, { node: node.number, action: "private_node", command: node.handler }, () => {
        throw new AutomationFault(
          `the handler "${node.handler}" is a plugin of the closed product and needs it installed`,
        );
      });
  }
}

async function runChoice(session: Session, node: ChoiceNode): Promise<void> {
  const { scope } = session;
  let isTrue = false;
  await runStep(session, { node: node.number, action: "if", command: node.condition, isBlind: true }, () => {
    isTrue = isConditionTrue(node.condition, {
      lookup: (name) => scope.lookup(name),
      interpolate: (text) => scope.fill(text),
    });
    return Promise.resolve(null);
  });
  await runNodes(session, isTrue ? node.ifNodes : node.elseNodes);
}

/** Never fails by itself: what was seen is stored as `[True]` or `[False]`. */
async function runAssert(session: Session, node: AssertNode): Promise<void> {
  const state = node.assertion === "to_be_visible" ? "visible" : "hidden";
  await runStep(session, { node: node.number, action: node.assertion, command: node.locator }, async () => {
    const locator = await locate(session, node.locator);
    // A time-out of 0 would mean "for ever" to the browser.
    const timeout = Math.max(node.timeoutS * 1_000, 1);
    const holds = await locator
      .first()
      .waitFor({ state, timeout })
      .then(
        () => true,
        () => false,
      );
    session.scope.set(session.scope.fill(node.outputName), [holds]);
    return null;
  });
}
