import { Semaphore, SingleFlight } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { CacheCore } from "../cache-core.ts";
import { type FieldLookup, parseFilters } from "../filter/parse-filters.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { UsageRecord } from "../refs.ts";

const parallelMeasurements = 4;

/** Measures records, each once until it changes. */
export class DiskUsageMeter {
  readonly #core: CacheCore;
  readonly #flights = new SingleFlight<CacheRecord, number>();
  readonly #limit = new Semaphore(parallelMeasurements);

  constructor(core: CacheCore) {
    this.#core = core;
  }

  /** Bytes of the record's own snapshot and blobs. */
  async measure(record: CacheRecord, options: { readonly signal: AbortSignal }): Promise<number> {
    const { sizeBytes } = record.values;
    if (sizeBytes !== undefined) return sizeBytes;
    return await this.#flights.run(record, async (signal) => await this.#measure(record, signal), options);
  }

  async #measure(record: CacheRecord, signal: AbortSignal): Promise<number> {
    using _permit = await this.#limit.acquire({ signal });
    const before = record.values;
    const { snapshot, blobs } = before;
    let bytes = snapshot === undefined ? 0 : await this.#snapshotBytes(snapshot, signal);
    for (const { digest } of blobs) bytes += (await this.#core.blobs.content.find(digest))?.size ?? 0;
    const isStable = !(record.values.mutable && record.holds > 0);
    // What changed meanwhile was not measured, or in part.
    if (isStable && record.values === before) this.#core.registry.update(record, { sizeBytes: bytes });
    return bytes;
  }

  async #snapshotBytes(snapshot: string, signal: AbortSignal): Promise<number> {
    try {
      return (await this.#core.snapshotter.usage(snapshot, { signal })).sizeBytes;
    } catch (error) {
      // Removed meanwhile.
      if (error instanceof BuildError && error.code === "not_found") return 0;
      throw error;
    }
  }

  /** All records that the filters select. */
  async list(options: { readonly signal: AbortSignal; readonly filters?: readonly string[] }): Promise<UsageRecord[]> {
    const filter = parseFilters(options.filters ?? []);
    const inUse = recordsInUse(this.#core.registry.all());
    const selected = [...this.#core.registry.all()].filter((record) =>
      filter(fieldsOf(describeUsage(record, { isInUse: inUse.has(record), sizeBytes: 0 }))),
    );
    return await Promise.all(
      selected.map(async (record) => {
        const isInUse = inUse.has(record);
        // A tree that is being changed has no size yet.
        const isChanging = record.values.mutable && record.holds > 0;
        const sizeBytes = isChanging || record.isGone ? 0 : await this.measure(record, options);
        return describeUsage(record, { isInUse, sizeBytes });
      }),
    );
  }
}

/** Those that are held, and all they are built on. */
function recordsInUse(records: Iterable<CacheRecord>): ReadonlySet<CacheRecord> {
  const inUse = new Set<CacheRecord>();
  for (const record of records) {
    const stack = record.holds > 0 ? [record] : [];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (inUse.has(next)) continue;
      inUse.add(next);
      stack.push(...next.parents);
    }
  }
  return inUse;
}

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
