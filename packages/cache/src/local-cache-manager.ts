import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, type ErrorReporter, systemClock } from "@buildkit-ts/async";
import type { FileContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { LayerCodec } from "@buildkit-ts/layers";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import { chainIds, type Digest } from "@buildkit-ts/oci";
import { noProgress } from "@buildkit-ts/progress";
import type { Snapshotter } from "@buildkit-ts/snapshots";
import { withoutDiffId } from "./blobs/layer-media-type.ts";
import { CacheCore } from "./cache-core.ts";
import type { DigestChanges } from "./content-digest/change-digests.ts";
import { ContentChecksums } from "./content-digest/content-checksums.ts";
import type { ContentListing } from "./content-digest/content-listing.ts";
import type { FileQuestion } from "./content-digest/list-content.ts";
import { LocalImmutableRef } from "./local-immutable-ref.ts";
import { LocalMutableRef } from "./local-mutable-ref.ts";
import { adoptClock } from "./prune/adopt-clock.ts";
import type { SpaceState } from "./prune/keep-bytes.ts";
import { Pruner } from "./prune/pruner.ts";
import type { CacheRecord, RecordStructure, RecordValues } from "./record/cache-record.ts";
import { loadRecords } from "./record/load-records.ts";
import { newId, RecordRegistry } from "./record/record-registry.ts";
import { RecordTable } from "./record/record-table.ts";
import type {
  BlobLayer,
  CacheManager,
  ChecksumOptions,
  ContentQuery,
  ImmutableRef,
  LazyProvider,
  Metadata,
  MutableRef,
  NewRefOptions,
  PruneOptions,
  PruneVerdict,
  RefOptions,
  UsageRecord,
} from "./refs.ts";
import { takeOver } from "./take-over.ts";
import { removeUnpacked } from "./trees/remove-unpacked.ts";

/** Digests of a tree's files as the cache keeps them; their form is its own. */
export type KnownDigests = Uint8Array;

/** What a {@linkcode LocalCacheManager} works with. All of it stays the caller's. */
export interface LocalCacheOptions {
  /** The daemon's state directory, on the file system that holds the snapshots. */
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly snapshotter: Snapshotter;
  readonly content: FileContentStore;
  readonly codec: LayerCodec;
  readonly clock?: Clock;
  /** Is told of what cannot be removed from the disk, which is tried again. */
  readonly reporter: ErrorReporter;
}

/** The cache of one daemon: rows in its database, trees in its snapshotter, layers in its content store. */
export class LocalCacheManager implements CacheManager, AsyncDisposable {
  readonly #core: CacheCore;
  readonly #pruner: Pruner;
  readonly #checksums: ContentChecksums;

  private constructor(core: CacheCore, root: string) {
    this.#core = core;
    this.#pruner = new Pruner(core, root);
    this.#checksums = new ContentChecksums(core);
  }

  /** Loads the records and removes all that an interrupted daemon left over. */
  static async open(options: LocalCacheOptions): Promise<LocalCacheManager> {
    const { root, database, snapshotter, content } = options;
    const stagingDirectory = join(root, "staging");
    await removeUnpacked(stagingDirectory);
    await mkdir(stagingDirectory, { recursive: true, mode: 0o700 });
    const registry = new RecordRegistry(new RecordTable(database));
    await loadRecords(registry, { snapshotter, content });
    const core = new CacheCore({ ...options, registry, stagingDirectory, clock: options.clock ?? systemClock });
    return new LocalCacheManager(core, root);
  }

  has(id: string): boolean {
    const record = this.#core.registry.find(id);
    return record !== undefined && !record.values.mutable && !record.isLost;
  }

  async get(id: string, options: { readonly signal: AbortSignal }): Promise<ImmutableRef> {
    options.signal.throwIfAborted();
    const record = this.#core.get(id);
    if (record.values.mutable)
      throw new BuildError("not_found", `Cannot find immutable cache record "${id}": it is mutable`);
    if (record.isLost) throw new BuildError("not_found", `Cannot find cache record "${id}": its content is lost`);
    return await Promise.resolve(this.#ref(record));
  }

  async getMutable(id: string, options: { readonly signal: AbortSignal }): Promise<MutableRef> {
    options.signal.throwIfAborted();
    const record = this.#core.get(id);
    if (!record.values.mutable)
      throw new BuildError("not_found", `Cannot find mutable cache record "${id}": it is immutable`);
    if (record.holds > 0)
      throw new BuildError("failed_precondition", `Cannot take mutable cache record "${id}": it is locked`);
    const ref = new LocalMutableRef(this.#core, record);
    try {
      await this.#core.losses.checkPresent(record);
      return ref;
    } catch (error) {
      await ref[Symbol.asyncDispose]();
      throw error;
    }
  }

  async create(parent: ImmutableRef | undefined, options: NewRefOptions): Promise<MutableRef> {
    const { signal, progress = noProgress, session } = options;
    signal.throwIfAborted();
    await using hold = parent?.clone();
    const parentRecord = hold === undefined ? undefined : this.#core.get(hold.id);
    const parentSnapshot =
      parentRecord === undefined
        ? undefined
        : await this.#core.extractor.extract(parentRecord, { signal, progress, session });
    const id = newId();
    const snapshot = `${id}-active`;
    await this.#core.snapshotter.prepare(snapshot, parentSnapshot);
    await using unnamed = new AsyncDisposableStack();
    unnamed.defer(async () => await this.#core.snapshotter.remove(snapshot));
    const values = { ...this.#valuesOf(options), mutable: true, snapshot };
    const record = this.#core.registry.addNamed(id, { kind: "layer", parent: parentRecord }, values);
    unnamed.move();
    return new LocalMutableRef(this.#core, record);
  }

  /**
   * Makes an immutable tree that only this ref holds, and of which there are no layers, one to write to: under a new id, and
   * without the time that a copy takes. Files must be replaced, not written to: they may have links in other trees. What is
   * known of the old record, such as its checksums, is gone, and the ref is one of a record that is gone.
   *
   * @returns undefined, with nothing done, if somebody else holds it or is built on it.
   */
  async takeOver(ref: ImmutableRef, options: NewRefOptions): Promise<MutableRef | undefined> {
    options.signal.throwIfAborted();
    return await takeOver(this.#core, this.#core.get(ref.id), this.#valuesOf(options));
  }

  async getByLayers(layers: readonly BlobLayer[], lazy: LazyProvider, options: NewRefOptions): Promise<ImmutableRef> {
    options.signal.throwIfAborted();
    if (layers.length === 0) return await this.#emptyRef(options);
    const ids = chainIds(layers.map(({ diffId }) => diffId));
    const { registry } = this.#core;
    let record: CacheRecord | undefined;
    for (const [index, layer] of layers.entries()) {
      const chainId = ids[index];
      const known = chainId === undefined ? undefined : registry.findLayer(chainId, layer.descriptor.digest);
      record =
        known ??
        registry.add(
          { kind: "layer", parent: record },
          {
            ...this.#valuesOf(options),
            description: layer.description ?? options.description,
            ...(layer.createdAt !== undefined && { createdAt: layer.createdAt }),
            diffId: layer.diffId,
            blobs: [withoutDiffId(layer.descriptor)],
            // Unpacked already, from other blobs: this record says which blobs the image has.
            snapshot: chainId === undefined ? undefined : registry.findTree(chainId),
          },
        );
      // The newest provider: those of earlier builds may have lost their sessions.
      record.lazy = lazy;
    }
    if (record === undefined) throw new BuildError("internal", "Cannot find ref of layers: there are none");
    return this.#ref(record);
  }

  async merge(parents: readonly ImmutableRef[], options: NewRefOptions): Promise<ImmutableRef> {
    options.signal.throwIfAborted();
    const records = parents
      .map(({ id }) => this.#core.get(id))
      .flatMap((record) => (record.structure.kind === "merge" ? record.structure.parents : [record]));
    const [only] = records;
    if (only === undefined) return await this.#emptyRef(options);
    if (records.length === 1) return this.#ref(only);
    return this.#addComposed({ kind: "merge", parents: records }, options);
  }

  async diff(
    lower: ImmutableRef | undefined,
    upper: ImmutableRef | undefined,
    options: NewRefOptions,
  ): Promise<ImmutableRef> {
    options.signal.throwIfAborted();
    if (lower?.id === upper?.id) return await this.#emptyRef(options);
    if (lower === undefined && upper !== undefined) return upper.clone();
    const lowerRecord = lower && this.#core.get(lower.id);
    const upperRecord = upper && this.#core.get(upper.id);
    const between = layersBetween(lowerRecord, upperRecord);
    if (between === undefined)
      return this.#addComposed({ kind: "diff", lower: lowerRecord, upper: upperRecord }, options);
    const parts = between.map((layer) => {
      const parent = layer.structure.kind === "layer" ? layer.structure.parent : undefined;
      if (parent === undefined) return layer;
      const description = `diff "${parent.id}" -> "${layer.id}"`;
      const values = { ...this.#valuesOf(options), description };
      return this.#core.registry.add({ kind: "diff", lower: parent, upper: layer }, values);
    });
    return this.#addComposed({ kind: "merge", parents: parts }, options);
  }

  #addComposed(structure: RecordStructure, options: NewRefOptions): ImmutableRef {
    return this.#ref(this.#core.registry.add(structure, this.#valuesOf(options)));
  }

  async #emptyRef(options: NewRefOptions): Promise<ImmutableRef> {
    return await (await this.create(undefined, options)).commit();
  }

  #ref(record: CacheRecord): ImmutableRef {
    return new LocalImmutableRef(this.#core, record);
  }

  #valuesOf(options: NewRefOptions): Partial<RecordValues> & { readonly createdAt: number } {
    return {
      createdAt: this.#core.clock.now(),
      description: options.description,
      recordType: options.recordType ?? "regular",
      retain: options.retain === true,
    };
  }

  search(key: string, value: string): string[] {
    const { registry } = this.#core;
    return registry.table.search(key, value).filter((id) => registry.find(id)?.isLost === false);
  }

  metadata(id: string): Metadata {
    return this.#core.metadata(this.#core.get(id).id);
  }

  async diskUsage(options: {
    readonly signal: AbortSignal;
    readonly filters?: readonly string[];
  }): Promise<UsageRecord[]> {
    return await this.#core.usage.list(options);
  }

  prune(options: PruneOptions & { readonly signal: AbortSignal }): AsyncIterable<UsageRecord> {
    return this.#pruner.prune(options);
  }

  /** Takes the clock's time as it is now, where it was set back since records were used. @returns how many are younger by that. */
  adoptClock(): number {
    return adoptClock(this.#core);
  }

  async explainPrune(options: PruneOptions & { readonly signal: AbortSignal }): Promise<PruneVerdict[]> {
    return await this.#pruner.explain(options);
  }

  /** What the limits of a collector are compared with. */
  async measureSpace(options: { readonly signal: AbortSignal }): Promise<SpaceState> {
    return await this.#pruner.measureSpace(options);
  }

  /** The most that it can come to, found at once. */
  async boundSpace(): Promise<SpaceState> {
    return await this.#pruner.boundSpace();
  }

  /** Whether a prune with these options would find anything to begin with. */
  hasRemovable(options: PruneOptions): boolean {
    return this.#pruner.hasRemovable(options);
  }

  /** Calls back when there may be more on the disk than before; for a collector that keeps a limit while builds run. */
  onGrowth(listener: (() => void) | undefined): void {
    this.#core.registry.onGrowth = listener;
  }

  /** Calls back with the id of each record that is gone. */
  onRemoved(listener: (id: string) => void): void {
    this.#core.registry.onRemoved = listener;
  }

  async contentChecksum(ref: ImmutableRef, path: string, options: ChecksumOptions): Promise<Digest> {
    return await this.#checksums.checksum(ref, path, options);
  }

  async listContent(ref: ImmutableRef, queries: readonly ContentQuery[], options: RefOptions): Promise<ContentListing> {
    return await this.#checksums.list(ref, queries, options);
  }

  async withSameBytes(
    ref: ImmutableRef,
    files: readonly FileQuestion[],
    options: RefOptions,
  ): Promise<readonly boolean[]> {
    return await this.#checksums.compareBytes(ref, files, options);
  }

  /**
   * Tells the digests of a record's tree, by whoever hashed the files while they arrived: how they differ from those of another
   * tree, or from those of an empty one. What is not told and not known of that one is read when it is asked for.
   */
  async setContentDigests(
    id: string,
    digests: { readonly known: KnownDigests | undefined; readonly changes: DigestChanges },
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#checksums.setDigests(this.#core.get(id), digests, options);
  }

  /** What is known of a record's tree, for another one that differs from it; undefined, if that is nothing. */
  getContentDigests(id: string): KnownDigests | undefined {
    return this.#checksums.getDigests(this.#core.get(id));
  }

  async pinBlobs(owner: string, digests: readonly Digest[]): Promise<void> {
    await this.#core.blobs.pin(owner, digests);
  }

  /** Ends all pins of the owner; blobs that nobody else names are deleted. */
  async unpinBlobs(owner: string): Promise<void> {
    await this.#core.blobs.unpin(owner);
  }

  /** Pins blobs until it is disposed, for those who read or push them meanwhile. */
  async lease(digests: readonly Digest[]): Promise<AsyncDisposable> {
    const owner = `lease-${newId()}`;
    await this.pinBlobs(owner, digests);
    return { [Symbol.asyncDispose]: async () => await this.unpinBlobs(owner) };
  }

  /** Ends the worker threads. Refs must have been disposed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#checksums[Symbol.asyncDispose]();
    await this.#core[Symbol.asyncDispose]();
  }
}

/** The layers that lie on `lower` in `upper`, if it lies on `lower` at all, and with more than one layer between. */
function layersBetween(lower: CacheRecord | undefined, upper: CacheRecord | undefined): CacheRecord[] | undefined {
  if (lower === undefined || upper === undefined) return undefined;
  const below = lower.layers();
  const all = upper.layers();
  // With one layer only, the difference itself stands for that layer.
  if (all.length <= below.length + 1 || below.some((record, index) => record !== all[index])) return undefined;
  return all.slice(below.length);
}
