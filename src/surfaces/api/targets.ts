import type { Problem } from "../../errors.ts";
import type { FunctionConfig, ParamRules } from "../../functions.ts";

/** A function as this surface needs to know it. */
export type KnownFunction = { name: string; params: ParamRules; config: FunctionConfig };
/** A container: whether it may begin a chain, and who may use it. */
export type KnownContainer = { external: boolean; allowedIps: string[] };
/** An automation: what is wrong with an input for it, in words. */
export type KnownAutomation = { problems(input: unknown): string[] };

export type FunctionSummary = {
  name: string;
  description: string | null;
  params: ParamRules;
  streams: boolean;
  /** Seconds. */
  timeout: number;
  max_attempts: number;
};
export type ContainerSummary = {
  id: string;
  description: string;
  external: boolean;
  image: string;
  state: string | null;
};
export type AutomationSummary = { name: string; description: string | null; parameters: unknown };

/** What can be run here. A kind that this node does not serve has nothing under any name. */
export type Targets = {
  function(name: string): KnownFunction | undefined;
  container(id: string): KnownContainer | undefined;
  automation(name: string): KnownAutomation | undefined;
  functions(): { functions: FunctionSummary[]; problems: { file: string; message: string }[] };
  containers(): { containers: ContainerSummary[]; problems: Problem[] };
  automations(): { automations: AutomationSummary[]; problems: { name: string; message: string }[] };
};

const namesShownMax = 10;

/** The problem of a name that is not known, with the names that are. */
export function unknownTarget(kind: string, name: string, known: readonly string[], pointer: string): Problem {
  const shown = known.slice(0, namesShownMax).join(", ");
  const there = known.length > namesShownMax ? `there are ${shown}, …` : `there are ${shown}`;
  const detail = `there is no ${kind} ${JSON.stringify(name)}; ${shown === "" ? "there are none" : there}`;
  return { pointer, detail };
}
