import type { CacheRecord } from "../record/cache-record.ts";
import type { PruneOptions, PruneVerdict } from "../refs.ts";
import { describeUsage } from "./describe-usage.ts";
import { recordsInUse } from "./disk-usage-meter.ts";
import { keepBytes, type SpaceState } from "./keep-bytes.ts";
import { rankForRemoval } from "./rank-for-removal.ts";
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
    for (;;) {
      const target = this.#target();
      if (target !== undefined && this.#usedBytes <= target) return;
      const candidates = this.#records.filter((record) => this.#isCandidate(record));
      const uses = candidates.map((record) => ({ record, ...record.values }));
      const chosen = target === undefined ? uses : rankForRemoval(uses).slice(0, 1);
      if (chosen.length === 0) return;
      for (const { record } of chosen) this.#remove(record);
    }
  }

  #target(): number | undefined {
    const { options, space } = this.#situation;
    return keepBytes(options, { usedBytes: this.#usedBytes, freeBytes: space.freeBytes + this.#freedBytes });
  }

  #isCandidate(record: CacheRecord): boolean {
    if (this.#gone.has(record) || record.holds > 0 || this.#childrenOf(record).length > 0) return false;
    return this.#situation.rules.exemption(record) === undefined;
  }

  #childrenOf(record: CacheRecord): CacheRecord[] {
    return [...(this.#children.get(record) ?? [])].filter((child) => !this.#gone.has(child));
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
    const pinnedBy = this.#childrenOf(record).map(({ id }) => id);
    if (record.holds > 0) return { goes: false, reason: "in use", pinnedBy };
    // Its own exemption is the first thing to say: without those built on it, it would stay all the same.
    const exemption = this.#situation.rules.exemption(record);
    if (exemption !== undefined) return { goes: false, reason: exemption, pinnedBy };
    if (pinnedBy.length > 0) return { goes: false, reason: "parent", pinnedBy };
    return { goes: false, reason: "within limit", pinnedBy };
  }
}
