import { CommandError } from "./usage-error.ts";

/** The text of a file, or of stdin for `-`. Throws `CommandError` when it is not there, is too large, or is not UTF-8. */
export async function readTextFile(path: string, limits: { bytesMax: number; what: string }): Promise<string> {
  const source = path === "-" ? Bun.stdin.stream() : Bun.file(path).stream();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of source) {
      bytes += chunk.byteLength;
      if (bytes > limits.bytesMax) throw new CommandError(`${limits.what} has more than ${limits.bytesMax} bytes`);
      chunks.push(chunk);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    const reason = cause instanceof TypeError ? "is not UTF-8 text" : whyUnreadable(cause);
    throw new CommandError(`${path === "-" ? "stdin" : path} ${reason}`, { cause });
  }
}

/** Why a file cannot be read, in words that follow its name. */
export function whyUnreadable(fault: unknown): string {
  const code = fault instanceof Error && "code" in fault ? String(fault.code) : "";
  const known: Record<string, string> = {
    ENOENT: "is not there",
    EACCES: "may not be read",
    EISDIR: "is a directory",
    ENOTDIR: "is not there: a part of the path is no directory",
  };
  return known[code] ?? `cannot be read (${fault instanceof Error ? fault.message : String(fault)})`;
}
