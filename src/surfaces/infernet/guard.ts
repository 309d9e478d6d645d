import { type JobRequest, linksMax, type Refused } from "./wire.ts";

/** A container as the guard needs to know it. */
export type GuardedContainer = {
  id: string;
  external: boolean;
  generatesProofs: boolean;
  allows(address: string): boolean;
};

type Guarded = { ok: true; job: JobRequest } | { ok: false; refused: Refused };

/** Checks one request in the original's order; the first thing wrong is what is said. `id` and `ip` in it mean nothing. */
export function guard(body: unknown, find: (id: string) => GuardedContainer | null, address: string): Guarded {
  if (!isObject(body)) return refuse("Could not parse message", { reason: "a job is an object" });
  if ("signature" in body || "subscription" in body) return refuse("Chain not enabled");
  const parsed = parse(body);
  if ("error" in parsed) return { ok: false, refused: parsed };
  const wrong = checkContainers(parsed, find, address);
  return wrong === null ? { ok: true, job: parsed } : { ok: false, refused: wrong };
}

function parse(body: Record<string, unknown>): JobRequest | Refused {
  const { containers, data, requires_proof: proof } = body;
  const problem = (field: string, reason: string): Refused => ({
    error: "Could not parse message",
    params: { field, reason },
  });
  if (!Array.isArray(containers) || !containers.every((id) => typeof id === "string"))
    return problem("containers", "must be a list of container ids");
  if (!isObject(data)) return problem("data", "must be an object");
  if (proof !== undefined && proof !== null && typeof proof !== "boolean")
    return problem("requires_proof", "must be true or false");
  return { containers, dataJson: JSON.stringify(data), requiresProof: proof === true };
}

function checkContainers(
  job: JobRequest,
  find: (id: string) => GuardedContainer | null,
  address: string,
): Refused | null {
  const { containers, requiresProof } = job;
  if (containers.length === 0) return { error: "No containers specified", params: {} };
  if (containers.length > linksMax)
    return { error: "Too many containers", params: { containers: containers.length, max: linksMax } };
  const found: GuardedContainer[] = [];
  for (const id of containers) {
    const container = find(id);
    if (container === null) return { error: "Container not supported", params: { container: id.slice(0, 200) } };
    found.push(container);
  }
  const [first] = found;
  const last = found.at(-1);
  if (first !== undefined && !first.external)
    return { error: "First container must be external", params: { first_container: first.id } };
  if (requiresProof && last !== undefined && !last.generatesProofs)
    return { error: "Container does not generate proof", params: { container: last.id } };
  const fenced = found.find((container) => !container.allows(address));
  return fenced === undefined
    ? null
    : { error: "Container not allowed for address", params: { address, container: fenced.id } };
}

function refuse(error: string, params: Record<string, unknown> = {}): Guarded {
  return { ok: false, refused: { error, params } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
