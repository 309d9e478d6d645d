/** The listener cannot be opened. The message is one line, and says what to change. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/**
 * Turns what the system says about a listener into a `ListenError` that names the variable its port is set by; any
 * other fault is returned as it is.
 */
export function listenFault(fault: unknown, host: string, port: number, setting = "PORT"): unknown {
  const text = textOf(codeOf(fault), { host, port, setting });
  return text === null ? fault : new ListenError(text, { cause: fault });
}

type Place = { host: string; port: number; setting: string };

function textOf(code: unknown, { host, port, setting }: Place): string | null {
  switch (code) {
    case "EADDRINUSE":
      return `Port ${port} on ${host} is taken: stop what uses it, or choose another with ${setting}=… (${setting}=0 takes a free one)`;
    case "EACCES":
      return `Port ${port} on ${host} may not be opened by this user: choose one from 1024 up with ${setting}=…`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    // A name that nothing resolves.
    case "EINVAL":
      return `${host} is not an address of this machine: set ${setting === "INTERNAL_PORT" ? "INTERNAL_HOST" : "HOST"} to one, 127.0.0.1 for this machine alone or 0.0.0.0 for all`;
    default:
      return null;
  }
}

function codeOf(fault: unknown): unknown {
  return typeof fault === "object" && fault !== null && "code" in fault ? fault.code : null;
}
