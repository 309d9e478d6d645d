import { findChromium } from "../../../src/runners/automation/find-chromium.ts";
import type { Service } from "../../support/service.ts";
import { until } from "../../support/until.ts";

export const hasChromium = "path" in findChromium(process.env.CHROMIUM_PATH ?? "", process.env.PATH ?? "");

/** A Task of a control plane, with a document that opens one page; `more` goes on top. */
export function taskOf(more: Record<string, unknown> = {}): Record<string, unknown> & { task_id: string } {
  return {
    task_id: crypto.randomUUID(),
    user_id: "user-1",
    recording_id: "recording-1",
    endpoint_name: "stub",
    automation: { url: "about:blank", parameters: { input_parameters: {} }, nodes: [] },
    input_parameters: {},
    secure_parameters: {},
    unique_parameter_names: [],
    created_at: new Date().toISOString(),
    status: "queued",
    api_key: "task-key",
    max_retries: 0,
    ...more,
  };
}

/** A document that does nothing for so long, or until its task is killed. */
export function sleeping(seconds: number): Record<string, unknown> {
  return {
    url: "about:blank",
    parameters: { input_parameters: {} },
    nodes: [{ type: "action_node", sleep_action: { sleep_time: seconds }, end_sleep_time: 0 }],
  };
}

type Row = { status: string; output: string | null; error: string | null };

/** The job of a task once `holds` holds for it. */
export async function jobOf(
  service: Service,
  taskId: string,
  what: string,
  holds: (row: Row) => boolean,
): Promise<Row> {
  const { sql } = service.rooms.engine.db;
  return until(
    `task ${taskId} is ${what}`,
    async () => {
      const [row] = await sql<Row[]>`
        SELECT j.status, k.output::text AS output, k.error::text AS error
        FROM jobs j JOIN tasks k ON k.job_id = j.id WHERE j.id = ${taskId}`;
      return row !== undefined && holds(row) ? row : null;
    },
    { withinMs: 30_000 },
  );
}

export function ended(service: Service, taskId: string): Promise<Row> {
  return jobOf(service, taskId, "ended", ({ status }) => ["succeeded", "failed", "cancelled"].includes(status));
}
