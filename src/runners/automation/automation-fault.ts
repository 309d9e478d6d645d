import type { FailureCode } from "../contract.ts";

/** Why an automation failed, in words for whoever wrote or ran it. An expected end, not a bug of the runner. */
export class AutomationFault extends Error {
  override readonly name = "AutomationFault";
  constructor(
    message: string,
    readonly options: { code?: FailureCode; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
  }
}
