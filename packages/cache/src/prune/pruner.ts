import { statfs } from "node:fs/promises";
import { Semaphore } from "@buildkit-ts/async";
import type { CacheCore } from "../cache-core.ts";
import { type Filter, parseFilters } from "../filter/parse-filters.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { PruneOptions, UsageRecord } from "../refs.ts";
import { describeUsage, fieldsOf } from "./disk-usage-meter.ts";
import { keepBytes } from "./keep-bytes.ts";
import { rankForRemoval } from "./rank-for-removal.ts";

/** Removes what options select, one prune at a time. */
export class Pruner {
  readonly #core: CacheCore;
  readonly #directory: string;
  readonly #turn = new Semaphore(1);

  /** @param directory On the file system whose free space counts. */
  constructor(core: CacheCore, directory: string) {
    this.#core = core;
    this.#directory = directory;
  }

  async *prune(options: PruneOptions & { readonly signal: AbortSignal }): AsyncGenerator<UsageRecord> {
    const { signal } = options;
    const filter = parseFilters(options.filters);
    using _turn = await this.#turn.acquire({ signal });
    let usedBytes = hasLimit(options) ? await this.#usedBytes(signal) : 0;
    for (;;) {
      signal.throwIfAborted();
      const freeBytes = options.minFreeSpaceBytes === 0 ? 0 : await this.#freeBytes();
      const keep = keepBytes(options, { usedBytes, freeBytes });
      if (keep !== undefined && usedBytes <= keep) return;
      const candidates = this.#candidates(options, filter);
      // With a target each removal can be the last one; without, everything that is selected goes.
      const chosen = keep === undefined ? candidates : rankForRemoval(candidates).slice(0, 1);
      if (chosen.length === 0) return;
      for (const { record } of chosen) {
        signal.throwIfAborted();
        const usage = await this.#remove(record, signal);
        if (usage === undefined) continue;
        usedBytes -= usage.sizeBytes;
        yield usage;
      }
    }
  }

  /** Leaves of the graph that nobody holds; what they are built on is a leaf in the next round. */
  #candidates(
    options: PruneOptions,
    filter: Filter,
  ): { record: CacheRecord; lastUsedAt: number | undefined; usageCount: number }[] {
    const cutOff = this.#core.clock.now() - options.keepDurationMs;
    const candidates = [];
    for (const record of this.#core.registry.all()) {
      const { recordType, lastUsedAt, usageCount } = record.values;
      if (!record.isUnused) continue;
      if (!options.all && (recordType === "internal" || recordType === "frontend")) continue;
      if (options.keepDurationMs !== 0 && lastUsedAt !== undefined && lastUsedAt > cutOff) continue;
      if (!filter(fieldsOf(describeUsage(record, { isInUse: false, sizeBytes: 0 })))) continue;
      candidates.push({ record, lastUsedAt, usageCount });
    }
    return candidates;
  }

  async #remove(record: CacheRecord, signal: AbortSignal): Promise<UsageRecord | undefined> {
    const sizeBytes = record.isGone ? 0 : await this.#core.usage.measure(record, { signal });
    // Somebody may have taken it while it was measured.
    if (record.isGone || !record.isUnused) return undefined;
    const usage = describeUsage(record, { isInUse: false, sizeBytes });
    await this.#core.remove(record);
    return usage;
  }

  async #usedBytes(signal: AbortSignal): Promise<number> {
    const records = await this.#core.usage.list({ signal });
    return records.reduce((sum, { shared, sizeBytes }) => sum + (shared ? 0 : sizeBytes), 0);
  }

  async #freeBytes(): Promise<number> {
    const { bfree, bsize } = await statfs(this.#directory);
    return bfree * bsize;
  }
}

function hasLimit(options: PruneOptions): boolean {
  return options.reservedSpaceBytes !== 0 || options.maxUsedSpaceBytes !== 0 || options.minFreeSpaceBytes !== 0;
}
