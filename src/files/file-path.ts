import { isUtf8 } from "node:buffer";

/** A path inside a payload as the file system knows it. */
export type Segments = Buffer[];

const pathBytesMax = 65_535;

/** A name as shown to callers. Names that are not UTF-8 are shown with every byte outside ASCII, and `%`, as `%XX`. */
export function shownName(name: Buffer): string {
  if (isUtf8(name)) return name.toString("utf8");
  return name
    .toString("latin1")
    .replace(/[%\u0080-\u00ff]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The bytes that `shownName` shows as `shown` when they are not UTF-8; null when there are none. */
export function hiddenName(shown: string): Buffer | null {
  if (!shown.includes("%")) return null;
  const bytes = shown.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  const name = Buffer.from(bytes, "latin1");
  return isUtf8(name) || !isPlainName(name) ? null : name;
}

/** Splits a path given by a caller. Null for everything that is not plainly below the directory. */
export function segmentsOf(path: string): Segments | null {
  if (path === "" || Buffer.byteLength(path) > pathBytesMax) return null;
  const segments = path.split("/").map((segment) => Buffer.from(segment, "utf8"));
  return segments.every(isPlainName) ? segments : null;
}

/** Where a link leads, as segments below the top directory; null when it leaves the directory or is absolute. */
export function resolveLink(from: Segments, target: Buffer): Segments | null {
  if (target.length === 0 || target[0] === 0x2f) return null;
  const resolved = [...from];
  for (const part of target.toString("latin1").split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") resolved.push(Buffer.from(part, "latin1"));
    else if (resolved.pop() === undefined) return null;
  }
  return resolved.length === 0 ? null : resolved;
}

function isPlainName(name: Buffer): boolean {
  const text = name.toString("latin1");
  return text !== "" && text !== "." && text !== ".." && !text.includes("\0") && !text.includes("/");
}
