import type { CacheRecord } from "../record/cache-record.ts";
import type { PruneOptions, PruneVerdict } from "../refs.ts";
import { describeUsage } from "./describe-usage.ts";
import { recordsInUse } from "./disk-usage-meter.ts";
import { keepBytes, type SpaceState } from "./keep-bytes.ts";
import { RemovalRanks } from "./rank-for-removal.ts";
import { RemovalQueue } from "./removal-queue.ts";
import type { RemovalRules } from "./removal-rules.ts";

interface PruneSituation {
  readonly options: PruneOptions;
  readonly rules: RemovalRules;
  readonly space: SpaceState;
}

/** What a prune would do with each record: those that go first, in their order. The records stay as they are. */
export function planPrune(records: readonly CacheRecord[], situation: PruneSituation): PruneVerdict[] {
  const plan = new PrunePlan(records, situation);
  plan.removeAll();
  return plan.verdicts();
}

class PrunePlan {
  readonly #records: readonly CacheRecord[];
  readonly #situation: PruneSituation;
  readonly #children: Map<CacheRecord, Set<CacheRecord>>;
  readonly #gone = new Set<CacheRecord>();
  readonly #inUse: ReadonlySet<CacheRecord>;
  #usedBytes: number;
  #freedBytes = 0;

  constructor(records: readonly CacheRecord[], situation: PruneSituation) {
    this.#records = records;
    this.#situation = situation;
    this.#usedBytes = situation.space.usedBytes;
    this.#inUse = recordsInUse(records);
    this.#children = new Map(records.map((record) => [record, new Set()]));
    for (const record of records) for (const parent of record.parents) this.#children.get(parent)?.add(record);
  }

  removeAll(): void {
    const uses = this.#records.map(({ values }) => values);
    const ranks = this.#target() === undefined ? undefined : new RemovalRanks(uses);
    const queue = new RemovalQueue<CacheRecord>({ ranks, useOf: ({ values }) => values });
    for (const record of this.#records) if (this.#isCandidate(record)) queue.add(record);
    for (;;) {
      const target = this.#target();
      const record = target !== undefined && this.#usedBytes <= target ? undefined : queue.take();
      if (record === undefined) return;
      this.#remove(record);
      for (const parent of new Set(record.parents)) {
        this.#children.get(parent)?.delete(record);
        if (this.#isCandidate(parent)) queue.add(parent);
      }
    }
  }

  #target(): number | undefined {
    const { options, space } = this.#situation;
    return keepBytes(options, { usedBytes: this.#usedBytes, freeBytes: space.freeBytes + this.#freedBytes });
  }

  #isCandidate(record: CacheRecord): boolean {
    if (this.#gone.has(record) || record.holds > 0 || this.#childrenOf(record).size > 0) return false;
    return this.#situation.rules.exemption(record) === undefined;
  }

  /** Those that are left. */
  #childrenOf(record: CacheRecord): ReadonlySet<CacheRecord> {
    return this.#children.get(record) ?? new Set();
  }

  #remove(record: CacheRecord): void {
    const { sizeBytes = 0 } = record.values;
    this.#gone.add(record);
    this.#usedBytes -= sizeBytes;
    this.#freedBytes += sizeBytes;
  }

  verdicts(): PruneVerdict[] {
    const kept = this.#records.filter((record) => !this.#gone.has(record));
    return [...this.#gone, ...kept].map((record) => {
      const { sizeBytes = 0 } = record.values;
      const usage = describeUsage(record, { isInUse: this.#inUse.has(record), sizeBytes });
      return this.#gone.has(record) ? { usage, ...this.#whyGone() } : { usage, ...this.#whyKept(record) };
    });
  }

  #whyGone(): Pick<PruneVerdict, "goes" | "reason" | "pinnedBy"> {
    return { goes: true, reason: this.#target() === undefined ? "selected" : "over limit", pinnedBy: [] };
  }

  #whyKept(record: CacheRecord): Pick<PruneVerdict, "goes" | "reason" | "pinnedBy"> {
    const pinnedBy = [...this.#childrenOf(record)].map(({ id }) => id);
    if (record.holds > 0) return { goes: false, reason: "in use", pinnedBy };
    // Its own exemption is the first thing to say: without those built on it, it would stay all the same.
    const exemption = this.#situation.rules.exemption(record);
    if (exemption !== undefined) return { goes: false, reason: exemption, pinnedBy };
    if (pinnedBy.length > 0) return { goes: false, reason: "parent", pinnedBy };
    return { goes: false, reason: "within limit", pinnedBy };
  }
}
