import { readFileSync } from "node:fs";
import { EngineError } from "../errors.ts";

/** For postgres.js: no TLS, TLS where the server offers it, or the options of the TLS connection. */
export type Tls = false | "prefer" | TlsOptions;

type TlsOptions = {
  rejectUnauthorized: boolean;
  ca?: string;
  cert?: string;
  key?: string;
  passphrase?: string;
  checkServerIdentity?: () => undefined;
};

const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
type Mode = (typeof modes)[number];

/** Other spellings of `ssl`, which other drivers read. */
const otherModes: Record<string, Mode> = { true: "require", "1": "require", "no-verify": "require", false: "disable" };

/** Values that ask for what is done anyway. */
const settled: Record<string, readonly string[]> = {
  sslcompression: ["0"],
  sslsni: ["1"],
  sslcertmode: ["allow"],
  ssl_min_protocol_version: ["TLSv1.2"],
  ssl_max_protocol_version: [""],
  sslcrl: [""],
  sslcrldir: [""],
  sslkeylogfile: [""],
};

/**
 * Takes the TLS parameters of libpq out of a URL's: `sslmode`, `sslrootcert` (a file with PEM certificates, or `system`), `sslcert`,
 * `sslkey`, `sslpassword`. Null when none is there, which is without TLS. `verify-ca` and `verify-full` without
 * `sslrootcert` trust the well-known authorities. Throws `EngineError("unavailable")` for what cannot be honoured.
 */
export function readTls(parameters: URLSearchParams): Tls | null {
  refuseUnsettled(parameters);
  const root = take(parameters, "sslrootcert");
  const client = takeClientCertificate(parameters);
  const mode = effectiveMode(takeMode(parameters), root);
  if (mode === null) return null;
  if (mode === "disable") return false;
  if (mode === "prefer") return "prefer";
  const ca = root === null || root === "system" ? {} : { ca: read(root, "sslrootcert") };
  switch (mode) {
    case "require":
      return { rejectUnauthorized: false, ...client };
    case "verify-ca":
      return { rejectUnauthorized: true, checkServerIdentity: () => undefined, ...ca, ...client };
    case "verify-full":
      return { rejectUnauthorized: true, ...ca, ...client };
    default:
      return mode satisfies never;
  }
}

function takeMode(parameters: URLSearchParams): Mode | null {
  const [ssl, given] = [take(parameters, "ssl"), take(parameters, "sslmode")];
  const text = given ?? ssl;
  if (text === null) return null;
  const mode = modes.find((one) => one === text) ?? otherModes[text];
  if (mode !== undefined) return mode;
  throw refused(`sslmode=${text}`, `use one of ${modes.filter((one) => one !== "allow").join(", ")}`);
}

/** As libpq: `require` with an authority to trust checks the certificate against it. */
function effectiveMode(mode: Mode | null, root: string | null): Exclude<Mode, "allow"> | null {
  if (mode === "allow")
    throw refused("sslmode=allow", "use prefer, which tries TLS first, or require, which insists on it");
  if (root === "system" && mode !== null && mode !== "verify-full")
    throw refused(`sslrootcert=system with sslmode=${mode}`, "use sslmode=verify-full, or leave sslrootcert out");
  if (root === "system") return "verify-full";
  return mode === "require" && root !== null ? "verify-ca" : mode;
}

function takeClientCertificate(parameters: URLSearchParams): Pick<TlsOptions, "cert" | "key" | "passphrase"> {
  const [cert, key, passphrase] = ["sslcert", "sslkey", "sslpassword"].map((name) => take(parameters, name));
  if (cert == null && key == null) return {};
  if (cert == null || key == null)
    throw refused(cert == null ? "sslkey without sslcert" : "sslcert without sslkey", "give both, or none");
  const pair = { cert: read(cert, "sslcert"), key: read(key, "sslkey") };
  return passphrase == null ? pair : { ...pair, passphrase };
}

function refuseUnsettled(parameters: URLSearchParams): void {
  for (const [name, values] of Object.entries(settled)) {
    const value = take(parameters, name);
    if (value !== null && !values.includes(value)) throw refused(`${name}=${value}`, "leave it out");
  }
}

function read(path: string, name: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const why = cause instanceof Error && "code" in cause ? String(cause.code) : "it is no text";
    throw new EngineError(
      "unavailable",
      `DATABASE_URL names ${path} as ${name}, which cannot be read (${why}): put the PEM file there, or correct the path`,
      { cause },
    );
  }
}

function refused(what: string, fix: string): EngineError {
  return new EngineError("unavailable", `DATABASE_URL asks for ${what}, which is not supported: ${fix}`);
}

function take(parameters: URLSearchParams, name: string): string | null {
  const value = parameters.get(name);
  parameters.delete(name);
  return value;
}
