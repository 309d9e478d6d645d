import { EngineError } from "../errors.ts";

/** What Linux file systems take, in bytes of UTF-8. */
export const fileNameBytesMax = 255;

// C0, DEL and C1: they move a terminal's cursor, break lines of logs and listings, and no honest client sends them.
const controlCharacter = /\p{Cc}/u;

/**
 * The name an uploaded file gets: the last segment of what the client said, with `/` and `\` as separators, unchanged
 * otherwise. Throws `invalid` for a name that is empty, `.`, `..`, too long, or holds a control character.
 */
export function fileNameOf(said: string): string {
  const name = said.slice(Math.max(said.lastIndexOf("/"), said.lastIndexOf("\\")) + 1);
  const problem = problemWith(name);
  if (problem !== null) throw new EngineError("invalid", `The file name ${JSON.stringify(shorten(said))} ${problem}`);
  return name;
}

function problemWith(name: string): string | null {
  if (name === "") return "is empty";
  if (name === "." || name === "..") return "is a directory, not a name";
  if (name.includes("\0")) return "has a NUL character";
  if (controlCharacter.test(name)) return "has a control character";
  if (Buffer.byteLength(name) > fileNameBytesMax) return `is longer than ${fileNameBytesMax} bytes`;
  return null;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
