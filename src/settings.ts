import { clusterSettings } from "./settings/cluster.ts";
import { edgeSettings } from "./settings/edge.ts";
import { workSettings } from "./settings/work.ts";

/** Every setting, in the order of the README's table. */
export const settings = { ...edgeSettings, ...workSettings, ...clusterSettings } as const;
