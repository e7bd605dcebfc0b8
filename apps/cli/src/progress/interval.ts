/** A span of time in milliseconds since the epoch; without a stop it goes on. */
export interface Interval {
  readonly start: number;
  readonly stop: number | undefined;
}

/** Sorted spans without overlaps; one that goes on swallows all that begin after it. */
export function mergeIntervals(intervals: Iterable<Interval>): Interval[] {
  const merged: Interval[] = [];
  for (const next of [...intervals].sort((left, right) => left.start - right.start)) {
    const last = merged.at(-1);
    if (last === undefined || (last.stop !== undefined && last.stop < next.start)) {
      merged.push(next);
      continue;
    }
    if (last.stop === undefined) break;
    const stop = next.stop === undefined ? undefined : Math.max(last.stop, next.stop);
    merged[merged.length - 1] = { start: last.start, stop };
  }
  return merged;
}

/** The sum of all spans in seconds. */
export function totalSeconds(intervals: readonly Interval[], now: number): number {
  let sum = 0;
  for (const { start, stop } of intervals) sum += (stop ?? now) - start;
  return sum / 1000;
}
