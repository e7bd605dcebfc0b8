import type { FieldLookup } from "../filter/parse-filters.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { UsageRecord } from "../refs.ts";

/** A record as `buildctl du` shows it. */
export function describeUsage(
  record: CacheRecord,
  measured: { readonly isInUse: boolean; readonly sizeBytes: number },
): UsageRecord {
  const { values } = record;
  return {
    id: record.id,
    mutable: values.mutable,
    inUse: measured.isInUse,
    sizeBytes: measured.sizeBytes,
    parents: record.parents.map(({ id }) => id),
    createdAt: values.createdAt,
    lastUsedAt: values.lastUsedAt,
    usageCount: values.usageCount,
    description: values.description,
    recordType: values.recordType,
    // Sharing means that an image store outside of the cache has the same layers; there is none.
    shared: false,
  };
}

/** What filters can ask of a record. */
export function fieldsOf(usage: UsageRecord): FieldLookup {
  return ([name]) => {
    switch (name) {
      case "id":
        return { value: usage.id, present: true };
      case "parents":
        return { value: usage.parents.join(";"), present: usage.parents.length > 0 };
      case "description":
        return { value: usage.description, present: usage.description !== "" };
      case "type":
        return { value: usage.recordType, present: true };
      case "inuse":
        return { value: "", present: usage.inUse };
      case "mutable":
        return { value: "", present: usage.mutable };
      case "immutable":
        return { value: "", present: !usage.mutable };
      case "shared":
        return { value: "", present: usage.shared };
      case "private":
        return { value: "", present: !usage.shared };
      case undefined:
      default:
        return { value: "", present: false };
    }
  };
}
