import type { Setting } from "./setting.ts";
import { settings } from "./settings.ts";

/** The table of settings as the README shows it, made from the settings themselves. */
export function configTable(): string {
  const rows = Object.values<Setting<unknown>>(settings).map(
    ({ name, fallback, help }) => `| \`${name}\` | ${fallback === "" ? "" : `\`${fallback}\``} | ${help} |`,
  );
  return ["| variable | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}
