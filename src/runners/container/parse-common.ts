import { parseNetwork } from "./allowed.ts";
import { type Entry, readFlag, readMap, readRaw, readText, readTexts, report } from "./entry.ts";

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$/;
const envNamePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Fields of the original's entries that are about payments and chain addresses, which mean nothing here. */
export const ignoredFields = ["allowed_addresses", "allowed_delegate_addresses", "accepted_payments", "rate_limit"];

/** The fields that every kind has. */
export function parseCommon(entry: Entry) {
  const id = readText(entry, "id", "");
  if (!idPattern.test(id)) {
    report(entry, "id", "must have 1 to 128 letters, digits or any of . _ : / @ - and begin with a letter or digit");
  }
  return {
    id,
    description: readText(entry, "description", ""),
    external: readFlag(entry, "external", true),
    image: readText(entry, "image", ""),
    allowedIps: parseAllowedIps(entry),
    generatesProofs: readFlag(entry, "generates_proofs", false),
  };
}

export function parseEnv(entry: Entry): Record<string, string> {
  const env = readMap(entry, "env");
  for (const name of Object.keys(env)) {
    if (!envNamePattern.test(name)) report(entry, "env", `holds "${name}", which cannot be a variable's name`);
  }
  return env;
}

/** The token for `Authorization: Bearer`. Its problems never show it. */
export function parseBearer(entry: Entry): string | null {
  const bearer = readRaw(entry, "bearer") ?? "";
  if (typeof bearer === "string" && /^[\x21-\x7e]*$/.test(bearer)) return bearer === "" ? null : bearer;
  report(entry, "bearer", "must be a text of visible ASCII without spaces");
  return null;
}

function parseAllowedIps(entry: Entry): string[] {
  const networks = readTexts(entry, "allowed_ips");
  for (const text of networks) {
    if (parseNetwork(text) !== null) continue;
    report(entry, "allowed_ips", `holds "${text}", which is no address or network such as 10.0.0.0/8`);
  }
  return networks;
}
