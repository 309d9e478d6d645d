type Style = (text: string) => string;
export type Styles = { bold: Style; dim: Style; red: Style; green: Style; yellow: Style };

/** Ways to write text; without color they change nothing. */
export function createStyles(hasColor: boolean): Styles {
  const style =
    (on: number, off: number): Style =>
    (text) =>
      hasColor ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return { bold: style(1, 22), dim: style(2, 22), red: style(31, 39), green: style(32, 39), yellow: style(33, 39) };
}
