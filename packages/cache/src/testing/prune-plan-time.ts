import { parseFilters } from "../filter/parse-filters.ts";
import { planPrune } from "../prune/plan-prune.ts";
import { RemovalRules } from "../prune/removal-rules.ts";
import { CacheRecord } from "../record/cache-record.ts";

const recordBytes = 1000;
const depth = 10;

/** How long it takes to decide which of so many records go, all but one of them, one after the other: milliseconds for each. */
export function prunePlanTime(count: number): number {
  const records = chainsOfRecords(count);
  const limits = { keepDurationMs: 0, reservedSpaceBytes: 0, maxUsedSpaceBytes: recordBytes, minFreeSpaceBytes: 0 };
  const options = { ...limits, filters: [], all: true };
  const rules = new RemovalRules(options, { filter: parseFilters([]), now: count });
  // Of this thread alone: the machine may be busy with other tests.
  const from = process.threadCpuUsage();
  const plan = planPrune(records, { options, rules, space: { usedBytes: count * recordBytes, freeBytes: 0 } });
  const { user, system } = process.threadCpuUsage(from);
  const ms = (user + system) / 1000;
  const gone = plan.filter(({ goes }) => goes).length;
  if (gone !== count - 1) throw new Error(`${gone} of ${count} records go`);
  return ms / count;
}

/** Layers upon layers, each used at another time. */
function chainsOfRecords(count: number): CacheRecord[] {
  const records: CacheRecord[] = [];
  for (let index = 0; index < count; index += 1) {
    const parent = index % depth === 0 ? undefined : records.at(-1);
    const record = new CacheRecord(
      String(index),
      { kind: "layer", parent },
      {
        mutable: false,
        retain: false,
        recordType: "regular",
        description: "",
        createdAt: index,
        lastUsedAt: (index * 7919) % count,
        usageCount: index % 13,
        sizeBytes: recordBytes,
        snapshot: undefined,
        diffId: undefined,
        blobs: [],
      },
    );
    records.push(record);
  }
  return records;
}
