import type { FoundRecord } from "./solver-key.ts";

/** Records that were found for an edge. One that was tried is spent: it is not found again. */
export class FoundRecords {
  readonly #records = new Map<string, FoundRecord>();
  #spent: Set<string> | undefined;

  get size(): number {
    return this.#records.size;
  }

  add(found: FoundRecord): void {
    const id = idOf(found);
    if (this.#spent?.has(id) !== true) this.#records.set(id, found);
  }

  spend(found: FoundRecord): void {
    const id = idOf(found);
    this.#records.delete(id);
    this.#spent ??= new Set();
    this.#spent.add(id);
  }

  /** Takes out the newest record; of equally old ones that of the preferred store. */
  takeBest(preferredStore: string): FoundRecord | undefined {
    const rank = (found: FoundRecord): number => (found.store.id === preferredStore ? 1 : 0);
    let best: FoundRecord | undefined;
    for (const found of this.#records.values()) {
      const newer = best === undefined ? 1 : found.record.createdAt - best.record.createdAt;
      if (best === undefined || newer > 0 || (newer === 0 && rank(found) > rank(best))) best = found;
    }
    if (best !== undefined) this.spend(best);
    return best;
  }
}

function idOf({ store, record }: FoundRecord): string {
  return `${store.id} ${record.id}`;
}
