import { cpus, freemem, loadavg, totalmem } from "node:os";
import type { AnderaDeps } from "./deps.ts";

/** A node that stops is in maintenance to a balancer, whose protocol has no word for it. */
export function statusOf(deps: AnderaDeps): "ready" | "maintenance" {
  const { maintenance, draining } = deps.engine.view;
  return maintenance || draining ? "maintenance" : "ready";
}

/** What the balancer routes by. `available` is 0 while no task would be taken. */
export function slotsOf(deps: AnderaDeps): { used: number; available: number; limit: number; queue: number } {
  const { used, limit } = deps.slots();
  const open = statusOf(deps) === "ready" ? Math.max(0, limit - used) : 0;
  return { used, available: open, limit, queue: deps.engine.view.waiting };
}

/** Seconds up, memory in percent with one decimal, load average per core. */
export function systemOf(): { uptime: number; usedMemoryPercent: number; cpuLoad: number } {
  return {
    uptime: Math.round(process.uptime() * 100) / 100,
    usedMemoryPercent: Math.round((1 - freemem() / totalmem()) * 1000) / 10,
    cpuLoad: Math.round(((loadavg()[0] ?? 0) / Math.max(1, cpus().length)) * 1000) / 1000,
  };
}

/** The full body of `/health` for callers with a key; its key order is what balancers compare. */
export async function fullHealth(deps: AnderaDeps): Promise<Record<string, unknown>> {
  return {
    status: statusOf(deps),
    group: deps.group,
    contract: deps.contract,
    websocketPort: deps.websocketPort,
    functions: deps.functions.list().map(({ name, params }) => ({ name, params })),
    services: await deps.sidecar.services(),
    tags: await deps.sidecar.tags(),
    slots: slotsOf(deps),
    system: systemOf(),
  };
}
