import type { Filter } from "../filter/parse-filters.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { PruneOptions } from "../refs.ts";
import { describeUsage, fieldsOf } from "./describe-usage.ts";

/** Why a prune does not take a record, whatever it needs; `undefined` where it may. What holds records is asked elsewhere. */
export type Exemption = "internal" | "recent" | "filtered";

/** The rules of one prune, at one moment. */
export class RemovalRules {
  readonly #options: PruneOptions;
  readonly #filter: Filter;
  readonly #cutOff: number;

  constructor(options: PruneOptions, context: { readonly filter: Filter; readonly now: number }) {
    this.#options = options;
    this.#filter = context.filter;
    this.#cutOff = context.now - options.keepDurationMs;
  }

  /** In the order of what they cost to find out: a prune asks this of every record. */
  exemption(record: CacheRecord): Exemption | undefined {
    const { recordType, lastUsedAt } = record.values;
    const { all, keepDurationMs } = this.#options;
    if (!all && (recordType === "internal" || recordType === "frontend")) return "internal";
    if (keepDurationMs !== 0 && lastUsedAt !== undefined && lastUsedAt > this.#cutOff) return "recent";
    if (!this.#filter(fieldsOf(describeUsage(record, { isInUse: false, sizeBytes: 0 })))) return "filtered";
    return undefined;
  }
}
