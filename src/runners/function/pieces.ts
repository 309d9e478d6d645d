/** Cuts text into pieces of at most `charsMax` characters, never between the two halves of one. Empty text is one piece. */
export function pieces(text: string, charsMax: number): string[] {
  if (text.length <= charsMax) return [text];
  const cut: string[] = [];
  let at = 0;
  while (at < text.length) {
    const full = at + charsMax;
    const end = /[\uD800-\uDBFF]/.test(text.charAt(full - 1)) ? full - 1 : full;
    cut.push(text.slice(at, end));
    at = end;
  }
  return cut;
}
