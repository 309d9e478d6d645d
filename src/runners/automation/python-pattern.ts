import { PythonSyntaxError } from "./python-syntax-error.ts";

const flagLetters: Record<string, string> = {
  I: "i",
  IGNORECASE: "i",
  M: "m",
  MULTILINE: "m",
  S: "s",
  DOTALL: "s",
  U: "",
  UNICODE: "",
};
const unsupported = /\(\?>|\(\?\(|[*+?}]\+/;

/** The JavaScript flags of a Python flag's name (`I`, `IGNORECASE`, …), or null for one that has no equal here. */
export function patternFlag(name: string): string | null {
  return flagLetters[name] ?? null;
}

/**
 * A JavaScript expression that matches as the Python one does, for the syntax both share plus named groups, leading
 * inline flags, `\A` and `\Z`. Throws `PythonSyntaxError` for the rest.
 */
export function toRegExp(text: string, flags: string, at: number): RegExp {
  const inline = /^\(\?([ims]+)\)/.exec(text);
  const body = text.slice(inline?.[0].length ?? 0);
  if (unsupported.test(body.replace(/\\./gs, "__").replace(/\[(?:\\.|[^\]\\])*\]/gs, "_"))) {
    throw new PythonSyntaxError("This regular expression uses syntax that only Python has", at);
  }
  const source = body.replaceAll(/\\.|\(\?P<|\(\?P=(\w+)\)/gs, rewritten);
  try {
    return new RegExp(source, [...new Set(flags + (inline?.[1] ?? ""))].join(""));
  } catch (fault) {
    throw new PythonSyntaxError(
      `This regular expression cannot be read (${fault instanceof Error ? fault.message : ""})`,
      at,
    );
  }
}

function rewritten(part: string, name?: string): string {
  if (part === "(?P<") return "(?<";
  if (name !== undefined) return `\\k<${name}>`;
  if (part === "\\A") return "^";
  return part === "\\Z" ? "$" : part;
}
