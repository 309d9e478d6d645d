/**
 * Reads what an Infernet node answers as strictly as the original's Python client does: JSON must be called JSON, every field must be there,
 * and any answer but success is an error in its words.
 */
export type NodeClient = ReturnType<typeof nodeClient>;
export type JobRequest = { containers: string[]; data: Record<string, unknown>; requires_proof?: boolean };
export type ContainerResult = { container: string; output?: unknown; error?: string };
export type JobResult = {
  id: string;
  status: string;
  result: ContainerResult | null;
  intermediate_results?: ContainerResult[];
};
type Answer = { status: number; value: unknown };

export class NodeApiError extends Error {
  constructor(status: number, error: string, params: Record<string, unknown> | undefined) {
    const shown = Object.entries(params ?? {}).map(([name, value]) => `${name}=${value}`);
    super(`[${status}] ${error}${shown.length === 0 ? "" : ` - [${shown.join(", ")}]`}`);
  }
}

/** `headers` go with every request: a key, or what a proxy adds. */
export function nodeClient(url: string, headers: Record<string, string> = {}) {
  const ask = async (path: string, init: RequestInit = {}, withinMs = 5_000): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { ...(init.body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      signal: AbortSignal.timeout(withinMs),
    });
    return { status: response.status, value: await jsonOf(response) };
  };
  const send = (method: string, path: string, body: unknown) => ask(path, { method, body: JSON.stringify(body) });
  const results = async (ids: string[], intermediate = false) => {
    const query = new URLSearchParams({ intermediate: String(intermediate) });
    for (const id of ids) query.append("id", id);
    return success(await ask(`/api/jobs?${query}`)) as JobResult[];
  };
  return {
    health: async () => textIn(success(await ask("/health", {}, 1_000)), "status") === "healthy",
    info: async () => recordOf(success(await ask("/info"))),
    resources: async (modelId?: string) =>
      recordOf(success(await ask(`/resources${modelId === undefined ? "" : `?model_id=${modelId}`}`))),
    requestJob: async (job: unknown) => textIn(success(await send("POST", "/api/jobs", job)), "id"),
    requestJobs: async (jobs: unknown[]) =>
      success(await send("POST", "/api/jobs/batch", jobs)) as ({ id: string } | { error: string; params?: unknown })[],
    results,
    /** Asks `retries` times and stops when the job does not run any more; null when there is no such job. */
    resultSync: async (id: string, retries = 5, everyMs = 1_000): Promise<JobResult | null> => {
      for (let left = retries; ; left--) {
        const [result] = await results([id], true);
        if (result === undefined) return null;
        if (result.status !== "running" || left <= 1) return result;
        await Bun.sleep(everyMs);
      }
    },
    ids: async (pending?: boolean) =>
      success(await ask(`/api/jobs${pending === undefined ? "" : `?pending=${pending}`}`)) as string[],
    recordStatus: async (id: string, status: string, job: JobRequest) =>
      void success(await send("PUT", "/api/status", { id, status, ...job })),
    /** The first chunk is the id, what follows is the container's. */
    stream: async (job: JobRequest): Promise<{ id: string; text: string }> => {
      const response = await fetch(`${url}/api/jobs/stream`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(job),
      });
      if (response.status !== 200) success({ status: response.status, value: await jsonOf(response) });
      const chunks: string[] = [];
      for await (const chunk of response.body ?? []) chunks.push(new TextDecoder().decode(chunk));
      const [id = "", ...rest] = chunks;
      return { id: id.trim(), text: rest.join("") };
    },
  };
}

async function jsonOf(response: Response): Promise<unknown> {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("application/json")) throw new Error(`unexpected mimetype: ${type}`);
  return response.json();
}

function success({ status, value }: Answer): unknown {
  if (status === 200) return value;
  const { error, params } = recordOf(value);
  if (typeof error !== "string") throw new Error(`${status} without a text in "error"`);
  throw new NodeApiError(status, error, params === undefined ? undefined : recordOf(params));
}

function recordOf(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new Error(`expected an object, got ${JSON.stringify(value)}`);
}

function textIn(value: unknown, field: string): string {
  const text = recordOf(value)[field];
  if (typeof text !== "string") throw new Error(`expected a text in "${field}"`);
  return text;
}
