import { rm } from "node:fs/promises";
import type { BrowserContext, Dialog } from "playwright-core";
import type { AutomationDocument } from "../document-model.ts";
import type { TaskOrder } from "../messages.ts";
import { fromJson, type PythonValue } from "../python-value.ts";
import { Scope } from "../substitute.ts";
import { Downloads } from "./downloads.ts";
import type { EndSignal } from "./end-signal.ts";
import { NetworkLog } from "./network-log.ts";
import { Outputs } from "./outputs.ts";
import { Tabs } from "./tabs.ts";
import { TaskFiles } from "./task-files.ts";
import { type Say, TaskLog } from "./task-log.ts";
import { Trajectory } from "./trajectory.ts";

const closeTimeoutMs = 5_000;
const dialogsNotedMax = 20;

/** Everything one task works with: a browser context of its own, its variables, its files, and how it ends. */
export type Session = {
  order: TaskOrder;
  context: BrowserContext;
  tabs: Tabs;
  downloads: Downloads;
  network: NetworkLog;
  trajectory: Trajectory;
  outputs: Outputs;
  scope: Scope;
  files: TaskFiles;
  log: TaskLog;
  end: EndSignal;
  /** Names below `screenshots/`. */
  screenshots: string[];
  /** Directories that are removed when the task has ended. */
  temporary: string[];
  /** Whether the shipped pages can be opened in this context. */
  servesPages: boolean;
};

type Opening = { context: BrowserContext; order: TaskOrder; arrivalsDirectory: string; end: EndSignal; say: Say };

/** Puts together what one task works with, around a context that belongs to it alone. */
export function openSession({ context, order, arrivalsDirectory, end, say }: Opening): Session {
  const files = new TaskFiles(order.directory, order.uploadDirectories);
  const log = new TaskLog(files.path("logs"), order.nonce, say);
  const scope = openScope(order);
  const note = (text: string) => log.write("warn", scope.mask(text));
  context.setDefaultTimeout(order.navigationTimeoutMs);
  const network = new NetworkLog();
  const downloads = new Downloads({ arrivalsDirectory, bytesMax: order.fileBytesMax, files, end, note });
  const dialogs = dialogAnswers(note);
  const watchNetwork = order.work.kind === "document" && looksAtNetwork(order.work.document);
  const tabs = new Tabs(context, {
    note,
    opened: (page) => {
      page.on("dialog", dialogs);
      page.on("download", (download) => downloads.arrived(download));
      page.on("crash", () => end.end(`the page ${page.url()} crashed`));
      if (watchNetwork) network.listen(page);
    },
  });
  const trajectory = new Trajectory(files.path("trajectory"));
  const outputs = new Outputs(order.outputBytesMax);
  return {
    order,
    context,
    tabs,
    downloads,
    network,
    trajectory,
    outputs,
    scope,
    files,
    log,
    end,
    screenshots: [],
    temporary: [],
    servesPages: false,
  };
}

/** Writes what is still to be written and removes what was only needed meanwhile. Throws when that cannot be done. */
export async function closeSession(session: Session): Promise<void> {
  session.downloads.close();
  session.trajectory.close();
  for (const directory of session.temporary) await rm(directory, { recursive: true, force: true });
}

/** Closes a task's context. Bounded: a page that will not close is left to the browser. */
export async function closeContext(context: BrowserContext): Promise<void> {
  // A browser that is gone has closed it already.
  const closed = context.close().catch(() => undefined);
  await Promise.race([closed, Bun.sleep(closeTimeoutMs)]);
}

function openScope(order: TaskOrder): Scope {
  const lists = (values: Record<string, unknown>): Record<string, PythonValue> =>
    Object.fromEntries(Object.entries(values).map(([name, list]) => [name, fromJson(list)]));
  const generated = order.work.kind === "document" ? order.work.document.parameters.generated : {};
  return new Scope({
    input: lists(order.input),
    secure: order.secure,
    generated: { ...lists(generated), task_id: [order.taskId] },
  });
}

/** Nobody is there to answer: messages and questions are agreed to, requests for a text are declined. */
function dialogAnswers(note: (text: string) => void): (dialog: Dialog) => void {
  let noted = 0;
  return (dialog) => {
    const answer = dialog.type() === "prompt" ? dialog.dismiss() : dialog.accept();
    // The tab may be gone before the answer is; then nobody waits for it.
    answer.catch(() => undefined);
    noted += 1;
    if (noted <= dialogsNotedMax)
      note(`The page opened a dialog (${dialog.type()}): ${dialog.message().slice(0, 200)}`);
  };
}

function looksAtNetwork(document: AutomationDocument): boolean {
  // Cheaper than a walk over the tree, and one listener too many does no harm.
  return JSON.stringify([document.nodes, document.postProcessingNodes]).includes("network_call");
}
