/**
 * Whether testing `source` on a string of `length` characters is certain to take few steps, whatever the string says.
 * A backtracking engine needs up to length^loops steps, so the answer depends on both. What this scan cannot bound (a loop
 * around a loop or an alternative, a look-around, a back reference) counts as not bounded.
 */
export function isBounded(source: string, length: number): boolean {
  const shape = shapeOf(source);
  if (shape === null) return false;
  const characters = Math.max(length, 1);
  const starts = source.startsWith("^") && !shape.hasAlternatives ? 1 : characters;
  return characters ** shape.loops * 2 ** shape.optionals * starts <= stepsMax;
}

// About 10 ms of backtracking: the longest that one parameter may hold up the server.
const stepsMax = 2_000_000;

type Shape = { loops: number; optionals: number; hasAlternatives: boolean };
/** A group or one character; variable when it can match the same text in more than one way. */
type Piece = { isVariable: boolean };

const tokens =
  /\\[\s\S]|\[(?:\\[\s\S]|[^\]\\])*\]|\((?:\?(?::|<[A-Za-z_$][\w$]*>))?|\)|\||(?:[*+?]|\{\d+(?:,\d*)?\})\??|[\s\S]/g;
const quantifier = /^(?:[*+?]|\{\d+(?:,\d*)?\})\??$/;
const exactCount = /^\{\d+\}/;
const backReference = /^\\[1-9k]/;

// A `?` right behind an opened group begins a look-around: as a piece that no quantifier may follow, it ends the scan.
const opened: Piece = { isVariable: true };

function shapeOf(source: string): Shape | null {
  const shape: Shape = { loops: 0, optionals: 0, hasAlternatives: false };
  const groups: Piece[] = [{ isVariable: false }];
  let last: Piece = { isVariable: false };
  for (const [part] of source.matchAll(tokens)) {
    const group = groups.at(-1);
    if (group === undefined || backReference.test(part)) return null;
    if (quantifier.test(part)) {
      if (last.isVariable) return null;
      count(shape, group, part);
    }
    if (part === "|") {
      group.isVariable = true;
      shape.hasAlternatives = true;
    }
    if (part.startsWith("(")) groups.push({ isVariable: false });
    if (part === ")") groups.pop();
    if (part === ")" && group.isVariable) for (const outer of groups.slice(-1)) outer.isVariable = true;
    last = part.startsWith("(") ? opened : part === ")" ? group : { isVariable: false };
  }
  return shape;
}

function count(shape: Shape, group: Piece, part: string): void {
  if (exactCount.test(part)) return;
  group.isVariable = true;
  if (part.startsWith("?")) shape.optionals += 1;
  else shape.loops += 1;
}
