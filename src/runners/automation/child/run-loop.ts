import { AutomationFault } from "../automation-fault.ts";
import type { AutomationNode, LoopNode } from "../document-model.ts";
import { expandOutsideStrings } from "../python-string.ts";
import type { LoopFrame } from "../substitute.ts";
import { countMatches } from "./count.ts";
import { TaskEnded } from "./end-signal.ts";
import { locate } from "./locate.ts";
import type { Session } from "./session.ts";
import { runStep } from "./steps.ts";

type RunNodes = (session: Session, nodes: readonly AutomationNode[]) => Promise<void>;
type Iterations = { count: number; frame: (index: number) => LoopFrame };

/** Runs a loop's body once per value or match, and its reset nodes after each. */
export async function runLoop(session: Session, node: LoopNode, runNodes: RunNodes): Promise<void> {
  const { count, frame } = await iterationsOf(session, node);
  for (let index = 0; index < count; index += 1) {
    const goesOn = await session.scope.within(frame(index), () => iterate(session, node, runNodes));
    if (!goesOn) return;
  }
}

/** False when the loop is to be left. */
async function iterate(session: Session, node: LoopNode, runNodes: RunNodes): Promise<boolean> {
  let goesOn = true;
  try {
    await runNodes(session, node.nodes);
  } catch (fault) {
    if (node.onError === "raise" || !(fault instanceof AutomationFault) || fault instanceof TaskEnded) throw fault;
    session.log.write("warn", `node ${node.number}, loop: ${node.onError} after ${fault.message}`);
    goesOn = node.onError === "continue";
  }
  await runNodes(session, node.resetNodes);
  return goesOn;
}

async function iterationsOf(session: Session, node: LoopNode): Promise<Iterations> {
  let iterations: Iterations = { count: 0, frame: (index) => ({ indexName: node.indexName, index, variables: [] }) };
  const command = "locator" in node.over ? node.over.locator : node.over.variables.join(", ");
  await runStep(
    session,
    { node: node.number, action: "loop", command, isBlind: "variables" in node.over },
    async () => {
      iterations =
        "locator" in node.over
          ? await overMatches(session, node, node.over)
          : overValues(session, node, node.over.variables);
      const max = node.iterationsMax ?? iterations.count;
      if (iterations.count > max)
        session.log.write("warn", `node ${node.number}, loop: only ${max} of ${iterations.count}`);
      iterations.count = Math.min(iterations.count, max);
      return null;
    },
  );
  return iterations;
}

function overValues(session: Session, node: LoopNode, variables: readonly [string, ...string[]]): Iterations {
  const count = session.scope.lengthOf(variables[0]);
  if (count === null) throw new AutomationFault(`there is no list "${variables[0]}" to loop over`);
  return { count, frame: (index) => ({ indexName: node.indexName, index, variables }) };
}

async function overMatches(
  session: Session,
  node: LoopNode,
  over: { locator: string; timeoutS: number },
): Promise<Iterations> {
  const count = await countMatches(session, await locate(session, over.locator), over.timeoutS);
  // Bound to the loops around it now: the body may use the same index name for this one.
  const locator = expandOutsideStrings(over.locator, (inner) => session.scope.fill(`{${inner}}`));
  return { count, frame: (index) => ({ indexName: node.indexName, index, locator }) };
}
