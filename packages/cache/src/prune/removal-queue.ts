import type { RecordUse, RemovalRanks } from "./rank-for-removal.ts";

interface Entry<T> {
  readonly record: T;
  readonly use: RecordUse;
  readonly rank: number;
  /** Of equal ranks those first that came first. */
  readonly order: number;
}

/**
 * Records in the order in which a prune takes them: what is worth least first. Those that become free when others are gone
 * join at any time, in time that grows with the logarithm of how many wait.
 */
export class RemovalQueue<T> {
  readonly #ranks: RemovalRanks | undefined;
  readonly #useOf: (record: T) => RecordUse;
  /** A heap: the entry at `i` comes before those at `2i + 1` and `2i + 2`. */
  readonly #heap: Entry<T>[] = [];
  #added = 0;

  /** @param options.ranks Without, they come in the order in which they were added. */
  constructor(options: { readonly ranks: RemovalRanks | undefined; readonly useOf: (record: T) => RecordUse }) {
    this.#ranks = options.ranks;
    this.#useOf = options.useOf;
  }

  add(record: T): void {
    const use = this.#useOf(record);
    this.#added += 1;
    this.#heap.push({ record, use, rank: this.#ranks?.of(use) ?? 0, order: this.#added });
    this.#raise(this.#heap.length - 1);
  }

  /** Takes out the first one; one that was used since it was added goes to its new place instead. */
  take(): T | undefined {
    for (let entry = this.#takeFirst(); entry !== undefined; entry = this.#takeFirst()) {
      const { lastUsedAt, usageCount } = this.#useOf(entry.record);
      if (lastUsedAt === entry.use.lastUsedAt && usageCount === entry.use.usageCount) return entry.record;
      this.add(entry.record);
    }
    return undefined;
  }

  #takeFirst(): Entry<T> | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (last === undefined || last === first) return first;
    this.#heap[0] = last;
    this.#lower(0);
    return first;
  }

  #raise(start: number): void {
    for (let index = start; index > 0; ) {
      const parent = (index - 1) >>> 1;
      if (!this.#isBefore(index, parent)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #lower(start: number): void {
    for (let index = start; ; ) {
      const left = 2 * index + 1;
      const child = this.#isBefore(left + 1, left) ? left + 1 : left;
      if (!this.#isBefore(child, index)) return;
      this.#swap(index, child);
      index = child;
    }
  }

  #isBefore(index: number, other: number): boolean {
    const [a, b] = [this.#heap[index], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.rank < b.rank || (a.rank === b.rank && a.order < b.order);
  }

  #swap(index: number, other: number): void {
    const [a, b] = [this.#heap[index], this.#heap[other]];
    if (a === undefined || b === undefined) return;
    this.#heap[index] = b;
    this.#heap[other] = a;
  }
}
