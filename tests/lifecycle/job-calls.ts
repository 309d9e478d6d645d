import { expect } from "bun:test";
import { until } from "../support/until.ts";
import type { ServerProcess } from "./server-process.ts";

export type Job = { id: string; status: string; attempts: number; error: { code: string; message: string } | null };

type Caller = Pick<ServerProcess, "call" | "post">;

/** Submits a job that goes on after the answer. */
export async function accepted(server: Caller, body: object): Promise<Job> {
  const response = await server.post("/api/v1/jobs", body);
  expect(response.status).toBe(202);
  return (await response.json()) as Job;
}

/** Submits a job and waits for its end. */
export async function submitted(server: Caller, body: object): Promise<Job> {
  const response = await server.post("/api/v1/jobs", body, { prefer: "wait=30" });
  expect(response.status).toBe(200);
  return (await response.json()) as Job;
}

export async function untilRunning(server: Caller, id: string): Promise<void> {
  await until(`job ${id} runs`, async () => (await read(server, id)).status === "running", { withinMs: 30_000 });
}

export async function ended(server: Caller, id: string): Promise<Job> {
  const look = async () => {
    const job = await read(server, id);
    return ["succeeded", "failed", "cancelled"].includes(job.status) ? job : null;
  };
  return until(`job ${id} ends`, look, { withinMs: 40_000, everyMs: 25 });
}

async function read(server: Caller, id: string): Promise<Job> {
  return (await (await server.call(`/api/v1/jobs/${id}`)).json()) as Job;
}
