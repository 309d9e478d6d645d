import type { Locator } from "playwright-core";
import { AutomationFault } from "../automation-fault.ts";
import { buildLocator } from "../locator.ts";
import { parseCommand } from "../locator-command.ts";
import { PythonSyntaxError } from "../python-syntax-error.ts";
import type { Session } from "./session.ts";

/** The locator of a command in the current tab, with its placeholders filled. Throws `AutomationFault` with the position. */
export async function locate(session: Session, command: string): Promise<Locator> {
  const page = await session.tabs.current();
  try {
    return buildLocator(
      page,
      parseCommand(command, (text) => session.scope.fill(text)),
    );
  } catch (fault) {
    if (!(fault instanceof PythonSyntaxError)) throw fault;
    throw new AutomationFault(`the locator cannot be read: ${fault.message}`, { cause: fault });
  }
}
