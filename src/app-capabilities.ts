import type { Runners } from "./app-runners.ts";
import type { Config } from "./config.ts";
import type { Place } from "./engine/needs.ts";
import { findChromium } from "./runners/automation/find-chromium.ts";
import type { RunnerName } from "./runners/contract.ts";

/** What this node can do. */
export type Capabilities = {
  /** Whether it has and knows what a task takes; an empty `target` is one that it need not know. */
  canRun(runner: RunnerName, target: string): boolean;
  /** What tasks may ask for by `requires`. */
  place: Place;
  /** All of it, as other nodes and readers are told. */
  tell(): Record<string, unknown>;
};

/** Programs come and go while the server runs, but not often. */
const lookEveryMs = 10_000;

export function capabilitiesOf({ nodeTags, region }: Config, runners: Runners, disk: string | null): Capabilities {
  const tags = disk === null ? nodeTags : [...nodeTags, disk];
  const hasChromium = remembered(lookEveryMs, () => {
    const { chromiumPath, environment } = runners.automations.options;
    return "path" in findChromium(chromiumPath, environment.PATH ?? "");
  });
  const automations = () => runners.automationCatalog.current.entries;
  return {
    canRun(runner, target) {
      switch (runner) {
        case "function":
          return runners.functions.catalog.get(target) !== undefined;
        case "container":
          return runners.containers.get(target) !== null;
        case "automation":
          return (target === "" || automations().has(target)) && hasChromium();
        case "script":
          return runners.sandbox.tier !== "unavailable";
        default:
          return runner satisfies never;
      }
    },
    place: { region, tags },
    tell: () => ({
      tags,
      sandbox: runners.sandbox.tier,
      chromium: hasChromium(),
      functions: runners.functions.catalog.list().map((entry) => entry.name),
      containers: runners.containers.list().map((entry) => entry.id),
      automations: [...automations().keys()],
    }),
  };
}

function remembered<T>(forMs: number, look: () => T): () => T {
  let seen: { value: T; untilMs: number } | null = null;
  return () => {
    if (seen === null || Date.now() > seen.untilMs) seen = { value: look(), untilMs: Date.now() + forMs };
    return seen.value;
  };
}
