import { LostContentError } from "@buildkit-ts/errdefs";
import type { Snapshotter } from "@buildkit-ts/snapshots";
import type { CacheRecord } from "../record/cache-record.ts";
import type { RecordRegistry } from "../record/record-registry.ts";

/** Notices trees whose files somebody has deleted, and takes all out of use that rests on them. */
export class LostTrees {
  readonly #registry: RecordRegistry;
  readonly #snapshotter: Snapshotter;
  readonly #remove: (record: CacheRecord) => Promise<void>;

  /** @param options.remove Removes a record that nobody holds. */
  constructor(options: {
    readonly registry: RecordRegistry;
    readonly snapshotter: Snapshotter;
    readonly remove: (record: CacheRecord) => Promise<void>;
  }) {
    this.#registry = options.registry;
    this.#snapshotter = options.snapshotter;
    this.#remove = options.remove;
  }

  /** @throws {LostContentError} naming the record whose files are gone: this one, or one that it is built on. */
  async checkPresent(record: CacheRecord): Promise<void> {
    if (record.isLost) throw lostFiles(record);
    const { snapshot } = record.values;
    const missing = snapshot === undefined ? undefined : await this.#snapshotter.findMissing(snapshot);
    if (missing === undefined) return;
    const owners = [...this.#registry.recordsOfSnapshot(missing)];
    const [lost = record] = owners;
    const retired = [record, ...owners].flatMap((owner) => this.#registry.retire(owner));
    await this.#removeUnused(retired);
    throw lostFiles(lost);
  }

  /** What nobody holds goes at once, what is built on others first. What is held goes with its last hold. */
  async #removeUnused(records: readonly CacheRecord[]): Promise<void> {
    const left = new Set(records);
    for (let unused = [...left].filter(isUnused); unused.length > 0; unused = [...left].filter(isUnused)) {
      for (const record of unused) {
        left.delete(record);
        // Others may remove it, or one may have been taken, while the one before was removed.
        if (isUnused(record)) await this.#remove(record);
      }
    }
  }
}

function isUnused(record: CacheRecord): boolean {
  return record.isUnused && !record.isGone;
}

function lostFiles({ id }: CacheRecord): LostContentError {
  return new LostContentError("not_found", `Cannot find the files of cache record "${id}": somebody deleted them`, {
    record: id,
  });
}
