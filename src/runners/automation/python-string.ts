import { PythonSyntaxError } from "./python-syntax-error.ts";

type Read = { value: string; end: number };

const simpleEscapes: Record<string, string> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\n": "",
};
const codeEscapes: Record<string, number> = { x: 2, u: 4, U: 8 };
const word = /[\p{L}_][\p{L}\p{N}_]*/uy;
const opening = /([A-Za-z]{0,2})("""|'''|"|')/y;

/**
 * Reads the Python string literal that starts at `at`: single, double and triple quotes, escapes, the prefixes `r` and
 * `u`. Returns null when no literal starts there. Throws `PythonSyntaxError` for `f` and `b` strings and for an open end.
 */
export function readPythonString(text: string, at: number): Read | null {
  opening.lastIndex = at;
  const start = opening.exec(text);
  if (start === null) return null;
  const [whole, prefix = "", quote = ""] = start;
  const raw = prefix.toLowerCase() === "r";
  if (!raw && prefix !== "" && prefix.toLowerCase() !== "u") {
    throw new PythonSyntaxError(`Strings with the prefix "${prefix}" are not allowed`, at);
  }
  return readBody(text, { at, from: at + whole.length, quote, raw });
}

/**
 * Replaces every `{…}` that stands outside of string literals by what `expand` gives for the text between the braces;
 * null keeps it as it is. Throws `PythonSyntaxError` like `readPythonString`.
 */
export function expandOutsideStrings(text: string, expand: (inner: string) => string | null): string {
  let out = "";
  let at = 0;
  while (at < text.length) {
    const end = readPythonString(text, at)?.end ?? endOfName(text, at);
    const close = end === at && text.charAt(at) === "{" ? text.indexOf("}", at) : -1;
    const expanded = close < 0 ? null : expand(text.slice(at + 1, close));
    const next = expanded !== null ? close + 1 : Math.max(end, at + 1);
    out += expanded ?? text.slice(at, next);
    at = next;
  }
  return out;
}

/** Names are skipped whole: the `r` of `bar"x"` is no prefix of a string. */
function endOfName(text: string, at: number): number {
  word.lastIndex = at;
  return at + (word.exec(text)?.[0].length ?? 0);
}

function readBody(text: string, literal: { at: number; from: number; quote: string; raw: boolean }): Read {
  const { quote, raw } = literal;
  let value = "";
  let at = literal.from;
  while (at < text.length) {
    if (text.startsWith(quote, at)) return { value, end: at + quote.length };
    const char = text.charAt(at);
    if (char === "\n" && quote.length === 1) break;
    if (char !== "\\") {
      value += char;
      at += 1;
      continue;
    }
    const escaped = raw ? { value: text.slice(at, at + 2), end: at + 2 } : readEscape(text, at);
    value += escaped.value;
    at = escaped.end;
  }
  throw new PythonSyntaxError("This string has no closing quote", literal.at);
}

function readEscape(text: string, at: number): Read {
  const letter = text.charAt(at + 1);
  const simple = simpleEscapes[letter];
  if (simple !== undefined) return { value: simple, end: at + 2 };
  const width = codeEscapes[letter];
  if (width !== undefined) return readCode(text, at, width);
  const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4))?.[0];
  if (octal !== undefined) {
    return { value: String.fromCodePoint(Number.parseInt(octal, 8)), end: at + 1 + octal.length };
  }
  if (letter === "N") throw new PythonSyntaxError("Named characters (\\N{…}) are not allowed", at);
  // Python keeps the backslash of an escape that it does not know.
  return { value: text.slice(at, at + 2), end: at + 2 };
}

function readCode(text: string, at: number, width: number): Read {
  const digits = text.slice(at + 2, at + 2 + width);
  const code = Number.parseInt(digits, 16);
  if (!new RegExp(`^[0-9a-fA-F]{${width}}$`).test(digits) || code > 0x10ffff) {
    throw new PythonSyntaxError("This escape is not a character", at);
  }
  return { value: String.fromCodePoint(code), end: at + 2 + width };
}
