/** What decides how much a record is worth. */
export interface RecordUse {
  readonly lastUsedAt: number | undefined;
  readonly usageCount: number;
}

/**
 * How much records are worth, compared with others: the sum of two ranks, each brought to the same scale, one by the time of
 * their last use and one by how often they were used.
 */
export class RemovalRanks {
  readonly #byTime: Ranks;
  readonly #byCount: Ranks;

  /** @param records All that are compared. */
  constructor(records: readonly RecordUse[]) {
    this.#byTime = new Ranks(records.map(timeOf));
    this.#byCount = new Ranks(records.map(({ usageCount }) => usageCount));
  }

  /** What is worth least has the lowest one. */
  of(record: RecordUse): number {
    return this.#byTime.of(timeOf(record)) + this.#byCount.of(record.usageCount);
  }
}

function timeOf({ lastUsedAt }: RecordUse): number {
  return lastUsedAt ?? 0;
}

/** Gives a value its rank among different values, divided by the highest rank. Zero, "never", ranks below all. */
class Ranks {
  readonly #distinct: readonly number[];

  constructor(values: readonly number[]) {
    this.#distinct = [...new Set(values)].filter((value) => value !== 0).toSorted((a, b) => a - b);
  }

  of(value: number): number {
    return (value === 0 ? 1 : this.#countBelow(value) + 2) / (this.#distinct.length + 1);
  }

  #countBelow(value: number): number {
    let [low, high] = [0, this.#distinct.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#distinct[middle] ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
