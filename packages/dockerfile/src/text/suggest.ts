/** Options that are looked at; more than any file has whose author would be helped. */
const maxOptions = 500;
/** Options farther away than this many edits are no typing mistakes. */
const maxEdits = 2;

/** The option nearest to the value, if it could be a typing mistake; undefined when the value itself is an option. */
export function suggest(value: string, options: Iterable<string>, ignoreCase = false): string | undefined {
  const wanted = ignoreCase ? value.toLowerCase() : value;
  let best: string | undefined;
  let bestDistance = maxEdits + 1;
  let seen = 0;
  for (const original of options) {
    seen += 1;
    if (seen > maxOptions) break;
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

/**
 * Levenshtein distance, or any number at least `limit` once it is known to be that large.
 *
 * Only cells near the diagonal can lead below the limit, so it takes time |text| × limit: a file may refer to thousands of names
 * that are nearly those of thousands of others.
 */
function editDistance(a: string, b: string, limit: number): number {
  // A hostile value of megabytes need not be taken apart: the length difference alone decides.
  if (Math.abs(a.length - b.length) >= limit * 2) return limit;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  const from = Array.from(a.slice(wholeFrom(a, start)));
  const to = Array.from(b.slice(wholeFrom(b, start)));
  if (Math.abs(from.length - to.length) >= limit) return limit;
  let previous = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (const [i, char] of from.entries()) {
    const { row, best } = nextRow(previous, { i, char, to, limit });
    if (best >= limit) return limit;
    previous = row;
  }
  return previous[to.length] ?? limit;
}

function nextRow(
  previous: readonly number[],
  step: { readonly i: number; readonly char: string; readonly to: readonly string[]; readonly limit: number },
): { readonly row: number[]; readonly best: number } {
  const { i, char, to, limit } = step;
  const first = Math.max(1, i + 1 - limit);
  const last = Math.min(to.length, i + 1 + limit);
  const row = Array.from({ length: to.length + 1 }, () => limit);
  row[0] = Math.min(limit, i + 1);
  let best = row[0];
  for (let j = first; j <= last; j += 1) {
    const replaced = (previous[j - 1] ?? limit) + (char === to[j - 1] ? 0 : 1);
    row[j] = Math.min(replaced, (previous[j] ?? limit) + 1, (row[j - 1] ?? limit) + 1);
    best = Math.min(best, row[j] ?? limit);
  }
  return { row, best };
}

/** The nearest index that does not cut a surrogate pair: that would count one changed character as two. */
function wholeFrom(text: string, index: number): number {
  const code = text.charCodeAt(index - 1);
  return code >= 0xd800 && code <= 0xdbff ? index - 1 : index;
}
