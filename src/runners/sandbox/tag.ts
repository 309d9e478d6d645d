/** Marks a process of ours on the host: an argument of the sandbox's first process, or the value of `FAIRLEAD_RUN`. */
export function runToken(tag: string, runId: string): string {
  return `${serverToken(tag)}${runId}`;
}

/** What every token of one server starts with. */
export function serverToken(tag: string): string {
  return `fairlead-run:${tag}:`;
}

/** The variable that carries the token where no namespace holds the processes together. */
export const tokenVariable = "FAIRLEAD_RUN";

/** What every token of any server starts with. */
export const tokenStart = "fairlead-";
