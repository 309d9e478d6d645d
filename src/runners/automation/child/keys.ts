const modifiers: Record<string, string> = {
  ctrl: "Control",
  control: "Control",
  alt: "Alt",
  option: "Alt",
  shift: "Shift",
  meta: "Meta",
  command: "Meta",
  cmd: "Meta",
};
const names: Record<string, string> = { esc: "Escape", return: "Enter", del: "Delete", " ": "Space" };

/**
 * What to press, in the browser's words. Keys with a modifier among them are one stroke (`["Ctrl", "a"]`), others are
 * pressed one after the other. A single text may be a stroke itself (`"Control+a"`).
 */
export function keyStrokes(keys: readonly string[]): string[] {
  const parts = keys.flatMap((key) => (key.length > 1 ? key.split("+").filter((part) => part !== "") : [key]));
  const named = parts
    .map((part) => part.trim() || " ")
    .map((part) => modifiers[part.toLowerCase()] ?? names[part.toLowerCase()] ?? part);
  const hasModifier = named.some((part) => Object.values(modifiers).includes(part));
  return hasModifier ? [named.join("+")] : named;
}
