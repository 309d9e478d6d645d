import type { Rooms } from "./app-rooms.ts";
import { maximumLimits } from "./app-runners.ts";
import { sealWebhook } from "./app-webhook.ts";
import { isLocal } from "./config.ts";
import type { JobTokens } from "./http/job-tokens.ts";
import type { Streams } from "./http/streams.ts";
import type { ApiDeps } from "./surfaces/api/deps.ts";
import { runnerTargets } from "./surfaces/api/runner-targets.ts";
import { apiSettings } from "./surfaces/api/settings.ts";
import type { ChildIdentity } from "./surfaces/optexity/deps.ts";
import type { OpteryxDeps } from "./surfaces/opteryx/deps.ts";
import { opteryxVerifier } from "./surfaces/opteryx/verifier.ts";

/** What the doors share: open streams, tokens of jobs and the secret behind them, the same on every node, and who this node is to its master. */
export type DoorParts = { streams: Streams; tokens: JobTokens; secret: Uint8Array; child: ChildIdentity };

const bytesPerMb = 1_048_576;

export function apiDeps(rooms: Rooms, { streams, tokens, secret }: DoorParts): ApiDeps {
  const { config, engine, submitter, files, runners } = rooms;
  return {
    engine,
    submitter,
    files,
    streams,
    tokens,
    targets: runnerTargets({
      functions: runners.functions.catalog,
      containers: runners.containers,
      automations: runners.automationCatalog,
      defaultTimeoutMs: config.defaultTimeoutMs,
    }),
    sealWebhook: (webhook, pointer) => sealWebhook(rooms, webhook, pointer),
    cursorSecret: secret,
    settings: apiSettings(config, maximumLimits(config)),
  };
}

export function opteryxDeps({ config, engine, submitter, runners }: Rooms): OpteryxDeps {
  return {
    engine,
    submitter,
    verifier: opteryxVerifier(config, { isLoopback: isLocal(config) }),
    submitFunction: config.submitFunction,
    functions: runners.functions.catalog,
    defaultTimeoutMs: config.defaultTimeoutMs,
    bodyMaxBytes: config.bodyMaxMb * bytesPerMb,
  };
}
