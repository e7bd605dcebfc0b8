import { statSync } from "node:fs";
import { Semaphore, SingleFlight } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import type { CacheCore } from "../cache-core.ts";
import { parseFilters } from "../filter/parse-filters.ts";
import type { CacheRecord } from "../record/cache-record.ts";
import type { UsageRecord } from "../refs.ts";
import { stepName } from "../trees/tree-extractor.ts";
import { describeUsage, fieldsOf } from "./describe-usage.ts";

/** Those that are asked for together are measured together. */
const parallelMeasurements = 256;
/** What file systems give a file at least. */
const blockBytes = 4096;

/** Measures records, each once until it changes. */
export class DiskUsageMeter {
  readonly #core: CacheCore;
  readonly #flights = new SingleFlight<CacheRecord, number>();
  readonly #limit = new Semaphore(parallelMeasurements);
  /** Those that are being measured, but those whose files were shared, or no longer are, meanwhile. */
  readonly #measuring = new Set<CacheRecord>();
  /** Of pinned blobs that are here: a blob's size never changes, and every build's history pins some. */
  readonly #pinnedBytes = new Map<Digest, number>();

  constructor(core: CacheCore) {
    this.#core = core;
  }

  /** Bytes of the record's own snapshot and blobs. */
  async measure(record: CacheRecord, options: { readonly signal: AbortSignal }): Promise<number> {
    const { sizeBytes } = record.values;
    if (sizeBytes !== undefined) return sizeBytes;
    return await this.#flights.run(record, async (signal) => await this.#measure(record, signal), options);
  }

  /** What is being measured now was measured in vain. */
  noteChange(record: CacheRecord): void {
    this.#measuring.delete(record);
  }

  async #measure(record: CacheRecord, signal: AbortSignal): Promise<number> {
    using _permit = await this.#limit.acquire({ signal });
    this.#measuring.add(record);
    try {
      const before = record.values;
      const bytes = await this.#ownBytes(record, signal);
      const isStable = !(record.values.mutable && record.holds > 0);
      // What changed meanwhile was not measured, or in part.
      if (this.#measuring.has(record) && isStable && record.values === before)
        this.#core.registry.noteSize(record, bytes);
      return bytes;
    } finally {
      this.#measuring.delete(record);
    }
  }

  async #ownBytes(record: CacheRecord, signal: AbortSignal): Promise<number> {
    const { snapshot, blobs } = record.values;
    const { registry } = this.#core;
    const paysTree = snapshot !== undefined && isFirst(record, registry.recordsOfSnapshot(snapshot));
    let bytes = paysTree ? await this.#snapshotBytes(snapshot, signal) : 0;
    if (record.structure.kind === "merge" && snapshot !== undefined) bytes += await this.#stepBytes(record, signal);
    for (const { digest } of blobs)
      if (isFirst(record, registry.recordsOfBlob(digest))) bytes += await this.#blobBytes(digest);
    return bytes;
  }

  async #blobBytes(digest: Digest): Promise<number> {
    const size = (await this.#core.blobs.content.find(digest))?.size ?? 0;
    return Math.ceil(size / blockBytes) * blockBytes;
  }

  /** The snapshots below a merge that was made in several steps. */
  async #stepBytes(record: CacheRecord, signal: AbortSignal): Promise<number> {
    let bytes = 0;
    for (let index = 0; index < record.parents.length; index += 1) {
      const name = stepName(record.id, index);
      if ((await this.#core.snapshotter.find(name)) === undefined) break;
      bytes += await this.#snapshotBytes(name, signal);
    }
    return bytes;
  }

  /** Bytes of all records; those that are being changed have no size yet. */
  async total(options: { readonly signal: AbortSignal }): Promise<number> {
    let bytes = 0;
    const unmeasured: CacheRecord[] = [];
    for (const record of this.#core.registry.all()) {
      if (record.values.mutable && record.holds > 0) continue;
      if (record.values.sizeBytes === undefined) unmeasured.push(record);
      else bytes += record.values.sizeBytes;
    }
    const sizes = await Promise.all(
      unmeasured.map(async (record) => (record.isGone ? 0 : await this.measure(record, options))),
    );
    return sizes.reduce((sum, size) => sum + size, bytes);
  }

  /** Bytes that no record is charged for: the database, blobs that are pinned only, and what cannot be removed. */
  async overhead(databasePath: string, options: { readonly signal: AbortSignal }): Promise<number> {
    // Before anything that is of use goes, what is of none is tried once more.
    let bytes = await this.#leftoverBytes(options);
    for (const suffix of ["", "-wal", "-shm", ".reserve"]) {
      const stat = statSync(`${databasePath}${suffix}`, { throwIfNoEntry: false });
      bytes += (stat?.blocks ?? 0) * 512;
    }
    const pinned = new Set(this.#core.registry.table.pinnedBlobs());
    for (const digest of this.#pinnedBytes.keys()) if (!pinned.has(digest)) this.#pinnedBytes.delete(digest);
    for (const digest of pinned)
      if (this.#core.registry.recordsOfBlob(digest).size === 0) bytes += await this.#pinnedBlobBytes(digest);
    return bytes;
  }

  async #leftoverBytes(options: { readonly signal: AbortSignal }): Promise<number> {
    const { snapshotter, staging, blobs } = this.#core;
    const undeleted = await blobs.undeleted();
    // Of a disk that fails nobody may hear how large a blob is.
    const sizes = await Promise.all(undeleted.map(async (digest) => await this.#blobBytes(digest).catch(() => 0)));
    const others = (await snapshotter.leftoverBytes(options)) + (await staging.leftoverBytes());
    return sizes.reduce((sum, size) => sum + size, others);
  }

  async #pinnedBlobBytes(digest: Digest): Promise<number> {
    const known = this.#pinnedBytes.get(digest);
    if (known !== undefined) return known;
    const bytes = await this.#blobBytes(digest);
    // Blobs are pinned before they are there.
    if (bytes > 0) this.#pinnedBytes.set(digest, bytes);
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

/** What several records name is charged to one of them, whatever is done to the others. */
function isFirst(record: CacheRecord, sharing: ReadonlySet<CacheRecord>): boolean {
  return [...sharing].every(({ id }) => record.id <= id);
}

/** Those that are held, and all they are built on. */
export function recordsInUse(records: Iterable<CacheRecord>): ReadonlySet<CacheRecord> {
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
