/** Options farther away than this many edits are no typing mistakes. */
const maxEdits = 2;

/** The option nearest to the value, if it could be a typing mistake; undefined when the value itself is an option. */
export function suggest(value: string, options: Iterable<string>, ignoreCase = false): string | undefined {
  const wanted = ignoreCase ? value.toLowerCase() : value;
  let best: string | undefined;
  let bestDistance = maxEdits + 1;
  for (const original of options) {
    const option = ignoreCase ? original.toLowerCase() : original;
    if (option === wanted) return undefined;
    const distance = editDistance(wanted, option, bestDistance);
    if (distance >= bestDistance) continue;
    best = ignoreCase ? matchCase(option, value) : option;
    bestDistance = distance;
  }
  return best === "" ? undefined : best;
}

/** ` (did you mean X?)`, or nothing. */
export function suggestion(value: string, options: Iterable<string>, ignoreCase = false): string {
  const match = suggest(value, options, ignoreCase);
  return match === undefined ? "" : ` (did you mean ${match}?)`;
}

function matchCase(option: string, like: string): string {
  if (like === like.toLowerCase()) return option.toLowerCase();
  return like === like.toUpperCase() ? option.toUpperCase() : option;
}

/** Levenshtein distance, or any number at least `limit` once it is known to be that large. */
function editDistance(a: string, b: string, limit: number): number {
  // A hostile value of megabytes must not cost a quadratic table: the length difference alone decides.
  if (Math.abs(a.length - b.length) >= limit * 2) return limit;
  const from = Array.from(a);
  const to = Array.from(b);
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (const [i, char] of from.entries()) {
    const row = [i + 1];
    let smallest = i + 1;
    for (const [j, other] of to.entries()) {
      const cost = Math.min(
        (row[j] ?? 0) + 1,
        (previous[j + 1] ?? 0) + 1,
        (previous[j] ?? 0) + (char === other ? 0 : 1),
      );
      row.push(cost);
      smallest = Math.min(smallest, cost);
    }
    if (smallest >= limit) return limit;
    previous = row;
  }
  return previous.at(-1) ?? limit;
}
