const distanceMax = 2;
/** A beginning of fewer letters could be that of anything. */
const beginningMin = 3;

/** The one among `known` that was probably meant, or null. */
export function nearest(word: string, known: readonly string[]): string | null {
  const begun = word.length < beginningMin ? undefined : known.find((name) => name.startsWith(word));
  if (begun !== undefined) return begun;
  const [best] = known
    .map((name) => ({ name, distance: distanceBetween(word, name) }))
    .sort((a, b) => a.distance - b.distance);
  const isClose = best !== undefined && best.distance <= Math.min(distanceMax, Math.ceil(word.length / 2));
  return isClose ? best.name : null;
}

/** Letters to be changed, added, taken away or swapped with their neighbour (optimal string alignment). */
function distanceBetween(a: string, b: string): number {
  let [older, old] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const ways = [(old[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (old[j - 1] ?? 0) + (isSame ? 0 : 1)];
      row.push(Math.min(...ways, ...(isSwap ? [(older[j - 2] ?? 0) + 1] : [])));
    }
    [older, old] = [old, row];
  }
  return old[b.length] ?? 0;
}
