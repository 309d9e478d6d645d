import { createHash } from "node:crypto";
import type { StagedFile } from "../../files/staging.ts";

/** SHA-256 of what was asked: the body whatever the order of its members, and the files by name and content. */
export function fingerprintOf(body: unknown, files: readonly StagedFile[]): string {
  const hash = createHash("sha256").update(canonical(body));
  for (const { name, sha256 } of files.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    hash.update(`\n${sha256} ${name}`);
  return hash.digest("base64url");
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join(",")}}`;
}
