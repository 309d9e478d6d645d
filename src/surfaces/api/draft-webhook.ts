import { EngineError, type Problem } from "../../errors.ts";
import type { WebhookSpec } from "../../engine/submission.ts";
import type { ApiDeps } from "./deps.ts";
import type { Submit } from "./wire-submit.ts";

/** The name under which the engine finds this surface's way to tell about a job. */
export const webhookKind = "api";

/** Who is told about a job; its headers are sealed, and are not in what comes back otherwise. */
export function draftWebhook(
  deps: Pick<ApiDeps, "sealWebhook">,
  webhook: Submit["webhook"],
): { problems: Problem[]; value: WebhookSpec | null } {
  if (webhook === undefined) return { problems: [], value: null };
  try {
    const sealed = deps.sealWebhook(webhook, "/webhook");
    const spec = { url: webhook.url, events: webhook.events ?? ["completed"], kind: webhookKind };
    return { problems: [], value: sealed === undefined ? spec : { ...spec, sealed } };
  } catch (fault) {
    if (!(fault instanceof EngineError) || fault.code !== "invalid") throw fault;
    return { problems: fault.options.problems ?? [{ pointer: "/webhook", detail: fault.message }], value: null };
  }
}
