export const surfaceNames = ["api", "opteryx", "orchestrator", "andera", "infernet", "optexity"] as const;
export type SurfaceName = (typeof surfaceNames)[number];
