/** What decides how much a record is worth. */
export interface RecordUse {
  readonly lastUsedAt: number | undefined;
  readonly usageCount: number;
}

/**
 * The records, those first that are worth least: by the sum of two ranks, each brought to the same scale, one by the time
 * of their last use and one by how often they were used.
 */
export function rankForRemoval<T extends RecordUse>(records: readonly T[]): T[] {
  const byTime = ranks(records.map(({ lastUsedAt }) => lastUsedAt ?? 0));
  const byCount = ranks(records.map(({ usageCount }) => usageCount));
  return records
    .map((record, index) => ({ record, rank: (byTime[index] ?? 0) + (byCount[index] ?? 0) }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ record }) => record);
}

/** For each value its rank among the different values, divided by the highest rank. Zero, "never", ranks below all. */
function ranks(values: readonly number[]): number[] {
  const distinct = [...new Set(values)].filter((value) => value !== 0).toSorted((a, b) => a - b);
  const rankOf = new Map(distinct.map((value, index) => [value, index + 2]));
  return values.map((value) => (rankOf.get(value) ?? 1) / (distinct.length + 1));
}
