import type { Config } from "../../config.ts";
import type { RunnerName } from "../../runners/contract.ts";
import type { Limits } from "../../runners/limits.ts";

export type ApiSettings = {
  /** Where callers see this service; empty makes links relative. */
  publicUrl: string;
  waitMaxMs: number;
  bodyMaxBytes: number;
  upload: { bytesMax: number; filesMax: number };
  /** The most that a run may ask for. */
  limits: Limits;
  /** Milliseconds a run gets unless it asks, and the most it may ask for. */
  timeouts: Record<RunnerName, { usualMs: number; maxMs: number }>;
};

type Read = Pick<
  Config,
  | "publicUrl"
  | "waitMaxS"
  | "bodyMaxMb"
  | "payloadMaxMb"
  | "payloadFilesMax"
  | "defaultTimeoutMs"
  | "containerTimeoutS"
  | "automationUnhealthyAfterS"
>;

const bytesPerMb = 1_048_576;
const dayMs = 86_400_000;

/** What the configuration means to this surface; `limits` are the server's maximum. */
export function apiSettings(config: Read, limits: Limits): ApiSettings {
  const scriptMs = limits.wallS * 1_000;
  return {
    publicUrl: config.publicUrl.replace(/\/$/, ""),
    waitMaxMs: config.waitMaxS * 1_000,
    bodyMaxBytes: config.bodyMaxMb * bytesPerMb,
    upload: { bytesMax: config.payloadMaxMb * bytesPerMb, filesMax: config.payloadFilesMax },
    limits,
    timeouts: {
      function: { usualMs: config.defaultTimeoutMs, maxMs: dayMs },
      script: { usualMs: scriptMs, maxMs: scriptMs },
      container: { usualMs: config.containerTimeoutS * 1_000, maxMs: dayMs },
      automation: { usualMs: config.automationUnhealthyAfterS * 1_000, maxMs: dayMs },
    },
  };
}
