import { existsSync } from "node:fs";
import { extname, join } from "node:path";

const nameBytesMax = 200;

/** A name that stays in its directory whatever a page or document proposes: no path, no control characters, no dot first. */
export function safeName(proposed: string, fallback: string): string {
  const base = proposed.split(/[/\\]/).at(-1) ?? "";
  const clean = base
    .replaceAll(/[\p{Cc}\p{Cf}:*?"<>|]/gu, "_")
    .trim()
    .replace(/^\.+/, "");
  return shortened(clean === "" ? fallback : clean);
}

/** The name, or `name (1).ext` … when it is taken. */
export function freeName(directory: string, name: string): string {
  const extension = extname(name);
  const stem = name.slice(0, name.length - extension.length);
  let free = name;
  for (let count = 1; existsSync(join(directory, free)); count += 1) free = `${stem} (${count})${extension}`;
  return free;
}

function shortened(name: string): string {
  const extension = extname(name).slice(0, 20);
  let stem = name.slice(0, name.length - extname(name).length);
  while (Buffer.byteLength(stem + extension) > nameBytesMax) stem = stem.slice(0, -1);
  return stem + extension;
}
