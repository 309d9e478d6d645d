import type postgres from "postgres";
import { EngineError } from "../errors.ts";
import type { DatabaseAddress } from "./client.ts";
import { readTls } from "./tls.ts";

/** An address as postgres.js takes it: a URL without what the options say, or no URL and all of it in the options. */
export type Place = { url: string | null; options: postgres.Options<Record<string, never>> };

const shape = "write postgres://user:password@host:5432/database";

/** What libpq knows and only changes its timing or its own comfort. */
const idle = [
  "keepalives",
  "keepalives_idle",
  "keepalives_interval",
  "keepalives_count",
  "tcp_user_timeout",
  "fallback_application_name",
];

/** What libpq knows and this driver cannot do; a value that asks for nothing is let pass. */
const foreign: Record<string, { harmless: string[]; instead: string }> = {
  channel_binding: { harmless: ["disable", "prefer"], instead: "leave it out, and use sslmode=verify-full" },
  gssencmode: { harmless: ["disable", "prefer"], instead: "leave it out, and use sslmode" },
  require_auth: { harmless: [""], instead: "leave it out, and use sslmode=verify-full" },
  hostaddr: { harmless: [""], instead: "write the address as the host" },
  service: { harmless: [""], instead: "write out what the service file says" },
  servicefile: { harmless: [""], instead: "write out what the service file says" },
  passfile: { harmless: [""], instead: "write the password into the URL" },
  load_balance_hosts: { harmless: ["disable"], instead: "leave it out" },
  requiressl: { harmless: ["0"], instead: "use sslmode=require" },
};

/**
 * Reads an address with the parameters that libpq knows, of which postgres.js would send most to the server, or ignore them.
 * Throws `EngineError("unavailable")` for one that cannot be honoured, with what to write instead.
 */
export function readAddress(address: DatabaseAddress): Place {
  if (typeof address !== "string") return { url: null, options: address };
  // Without a scheme what stands before the first colon would be one, and the driver would go to this machine.
  if (!/^postgres(?:ql)?:\/\//.test(address))
    throw new EngineError("unavailable", `DATABASE_URL is no address: ${shape}`);
  const [base = "", query = ""] = address.split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  refuseForeign(parameters);
  const socket = takeSocket(base, parameters);
  const ssl = readTls(parameters);
  const named = takeNamed(parameters);
  for (const name of [...idle, ...Object.keys(foreign)]) parameters.delete(name);
  const rest = parameters.size === 0 ? base : `${base}?${parameters}`;
  if (socket !== null) return { url: null, options: { ...socket, connection: Object.fromEntries(parameters) } };
  return { url: rest, options: { ...named, ...(ssl === null ? {} : { ssl }) } };
}

function refuseForeign(parameters: URLSearchParams): void {
  for (const [name, { harmless, instead }] of Object.entries(foreign)) {
    const value = parameters.get(name);
    if (value === null || harmless.includes(value)) continue;
    throw new EngineError("unavailable", `DATABASE_URL asks for ${name}=${value}, which is not supported: ${instead}`);
  }
}

/** libpq's way to name a unix socket, `postgres://user@/database?host=/directory`, which postgres.js does not know. */
function takeSocket(base: string, parameters: URLSearchParams): Record<string, string> | null {
  const host = parameters.get("host");
  if (host === null || !host.startsWith("/") || !URL.canParse(base)) return null;
  parameters.delete("host");
  const { username, password, pathname } = new URL(base);
  return {
    host,
    database: decodeURIComponent(pathname.slice(1)),
    username: decodeURIComponent(username),
    ...(password === "" ? {} : { password: decodeURIComponent(password) }),
    ...takeNamed(parameters),
  };
}

/** Parts of an address that stand among the parameters win over those before them, as with libpq. */
function takeNamed(parameters: URLSearchParams): Record<string, string> {
  const names = { host: "host", port: "port", user: "username", password: "password", dbname: "database" };
  const taken: Record<string, string> = {};
  for (const [name, option] of Object.entries(names)) {
    const value = parameters.get(name);
    parameters.delete(name);
    if (value !== null) taken[option] = value;
  }
  return taken;
}
