import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Semaphore } from "@buildkit-ts/async";
import type { CacheCore } from "../cache-core.ts";
import { parseFilters } from "../filter/parse-filters.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { PruneOptions, PruneVerdict, UsageRecord } from "../refs.ts";
import { describeUsage } from "./describe-usage.ts";
import { hasLimits, keepBytes, type SpaceState } from "./keep-bytes.ts";
import { planPrune } from "./plan-prune.ts";
import { RemovalRanks } from "./rank-for-removal.ts";
import { RemovalQueue } from "./removal-queue.ts";
import { RemovalRules } from "./removal-rules.ts";

/** Removes what options select, one prune at a time. */
export class Pruner {
  readonly #core: CacheCore;
  readonly #directory: string;
  readonly #turn = new Semaphore(1);

  /** @param directory The daemon's root: its file system's free space counts. */
  constructor(core: CacheCore, directory: string) {
    this.#core = core;
    this.#directory = directory;
  }

  async *prune(options: PruneOptions & { readonly signal: AbortSignal }): AsyncGenerator<UsageRecord> {
    const { signal } = options;
    const rules = this.#rules(options);
    using _turn = await this.#turn.acquire({ signal });
    let { usedBytes, freeBytes } = await this.#space(options, signal);
    let queue = this.#queue(options, rules);
    for (;;) {
      signal.throwIfAborted();
      // With a target each removal can be the last one; without, everything that is selected goes.
      const keep = keepBytes(options, { usedBytes, freeBytes });
      if (keep !== undefined && usedBytes <= keep) return;
      let record = queue.take();
      if (record === undefined) {
        // Others may have let go of something meanwhile.
        queue = this.#queue(options, rules);
        record = queue.take();
      }
      if (record === undefined) return;
      const { parents } = record;
      const usage = isRemovable(record, rules) ? await this.#remove(record, signal) : undefined;
      if (usage === undefined) continue;
      // What it was built on may be free now.
      for (const parent of new Set(parents)) if (isRemovable(parent, rules)) queue.add(parent);
      usedBytes -= usage.sizeBytes;
      yield usage;
      if (options.minFreeSpaceBytes !== 0) freeBytes = await this.#freeBytes();
    }
  }

  /** What the limits of options that count the overhead are compared with. */
  async measureSpace({ signal }: { readonly signal: AbortSignal }): Promise<SpaceState> {
    const [usedBytes, freeBytes] = await Promise.all([this.#usedBytes(true, signal), this.#freeBytes()]);
    return { usedBytes, freeBytes };
  }

  /**
   * The most that {@linkcode Pruner.measureSpace} can come to, without measuring: no more is used than there is on the disk.
   */
  async boundSpace(): Promise<SpaceState> {
    const { blocks, bfree, bavail, bsize } = await statfs(this.#directory);
    const isOneDisk = await isOnOneDisk(this.#directory);
    return { usedBytes: isOneDisk ? (blocks - bfree) * bsize : Number.POSITIVE_INFINITY, freeBytes: bavail * bsize };
  }

  /** Whether there is anything that a prune could begin with. */
  hasRemovable(options: PruneOptions): boolean {
    const rules = this.#rules(options);
    for (const record of this.#core.registry.all()) if (isRemovable(record, rules)) return true;
    return false;
  }

  /** What {@linkcode Pruner.prune} would do now with each record, and why. Nothing is removed. */
  async explain(options: PruneOptions & { readonly signal: AbortSignal }): Promise<PruneVerdict[]> {
    const { signal } = options;
    const rules = this.#rules(options);
    using _turn = await this.#turn.acquire({ signal });
    const space = await this.#space(options, signal);
    await this.#core.usage.total({ signal });
    return planPrune([...this.#core.registry.all()], { options, rules, space });
  }

  #rules(options: PruneOptions): RemovalRules {
    return new RemovalRules(options, { filter: parseFilters(options.filters), now: this.#core.clock.now() });
  }

  /** Leaves of the graph that nobody holds; what they are built on joins when they are gone. */
  #queue(options: PruneOptions, rules: RemovalRules): RemovalQueue<CacheRecord> {
    const records = [...this.#core.registry.all()];
    const ranks = hasLimits(options) ? new RemovalRanks(records.map(({ values }) => values)) : undefined;
    const queue = new RemovalQueue<CacheRecord>({ ranks, useOf: ({ values }) => values });
    for (const record of records) if (isRemovable(record, rules)) queue.add(record);
    return queue;
  }

  async #remove(record: CacheRecord, signal: AbortSignal): Promise<UsageRecord | undefined> {
    const sizeBytes = record.isGone ? 0 : await this.#core.usage.measure(record, { signal });
    // Somebody may have taken it while it was measured.
    if (record.isGone || !record.isUnused) return undefined;
    const usage = describeUsage(record, { isInUse: false, sizeBytes });
    await this.#core.remove(record);
    return usage;
  }

  async #space(options: PruneOptions, signal: AbortSignal): Promise<SpaceState> {
    if (!hasLimits(options)) return { usedBytes: 0, freeBytes: 0 };
    const usedBytes = await this.#usedBytes(options.countsOverhead === true, signal);
    return { usedBytes, freeBytes: options.minFreeSpaceBytes === 0 ? 0 : await this.#freeBytes() };
  }

  async #usedBytes(withOverhead: boolean, signal: AbortSignal): Promise<number> {
    const records = await this.#core.usage.total({ signal });
    if (!withOverhead) return records;
    return records + (await this.#core.usage.overhead(join(this.#directory, "state.db"), { signal }));
  }

  /** What is left for us: the rest is kept for the system's administrator. */
  async #freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory);
    return bavail * bsize;
  }
}

function isRemovable(record: CacheRecord, rules: RemovalRules): boolean {
  return !record.isGone && record.isUnused && rules.exemption(record) === undefined;
}

/** Whether what the cache keeps in its directory is on the same disk: an administrator may have mounted others there. */
async function isOnOneDisk(directory: string): Promise<boolean> {
  const { dev } = await stat(directory);
  for (const name of ["snapshots", "content"]) if ((await stat(join(directory, name))).dev !== dev) return false;
  return true;
}
