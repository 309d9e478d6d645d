/** The command was written wrongly: exit code 2. The message says what to write instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What was asked for did not work out, for a reason that is not the service's: exit code 1. The message is all that is shown. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
