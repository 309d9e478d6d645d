import { payloadName } from "./payload-name.ts";

const keyBytesMax = 1_024;

/**
 * Where a payload's objects lie: `<prefix>payloads/<id>/<path>` as uploaded, `<prefix>payloads/<id>/%<tag>/<path>` for what a run
 * changed; the manifest, which says which is which, at `<prefix>manifests/<id>.json`.
 */
export type ObjectKeys = {
  manifest(payloadId: number): string;
  all(payloadId: number): string;
  file(payloadId: number, path: string, tag: string): string;
};

export function createObjectKeys(prefix: string): ObjectKeys {
  const all = (payloadId: number) => `${prefix}payloads/${payloadName(payloadId)}/`;
  return {
    manifest: (payloadId) => `${prefix}manifests/${payloadName(payloadId)}.json`,
    all,
    file(payloadId, path, tag) {
      // No path has a segment of this form: its own percent signs are written as %25.
      const base = all(payloadId) + (tag === "" ? "" : `%${tag}/`);
      const key = base + plain(path);
      if (Buffer.byteLength(key) <= keyBytesMax) return key;
      return `${base}%long/${new Bun.CryptoHasher("sha256").update(path).digest("hex")}`;
    },
  };
}

/** S3 lists keys as XML, which has no control characters; some stores take a backslash for a slash. */
function plain(path: string): string {
  return path.replace(/[\p{Cc}%\\]/gu, (char) => encodeURIComponent(char));
}
