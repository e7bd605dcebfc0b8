import type { ContentProvider } from "@buildkit-ts/content";
import type { Mount } from "@buildkit-ts/mount";
import type { ChainId, Compression, Descriptor, DiffId, Digest } from "@buildkit-ts/oci";
import type { ProgressWriter } from "@buildkit-ts/progress";
import type { ContentListing } from "./content-digest/content-listing.ts";
import type { FileQuestion } from "./content-digest/list-content.ts";

/** What `buildctl du` shows as a record's type. */
export type RecordType =
  | "internal"
  | "frontend"
  | "source.local"
  | "source.git.checkout"
  | "exec.cachemount"
  | "regular";

/** How layers shall be compressed when blobs are made of them. */
export interface CompressionOptions {
  readonly type: Compression;
  readonly level?: number;
  /** Also recompress layers that have a blob of another type. */
  readonly force?: boolean;
  readonly ociMediaTypes: boolean;
}

/** The blobs of a ref's layer chain, lowest first, and where to read them (possibly a registry: lazy blobs stay there). */
export interface Remote {
  readonly layers: readonly RemoteLayer[];
  readonly provider: ContentProvider;
}

export interface RemoteLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly description: string;
}

export interface RefOptions {
  readonly signal: AbortSignal;
  readonly progress: ProgressWriter;
  /** Opaque to the cache: handed to the lazy provider, so that *this* build's sessions fetch. */
  readonly session?: unknown;
}

/** Mounts that stay valid until disposed. */
export interface HeldMounts extends AsyncDisposable {
  readonly mounts: readonly Mount[];
}

/**
 * An immutable file system tree: a committed snapshot, or blobs that can become one (a *lazy* ref).
 *
 * Every value of this type is one counted hold on its record; disposing it gives up that hold, idempotently. A record
 * that is held is never collected, nor are its parents.
 */
export interface ImmutableRef extends AsyncDisposable {
  /** Names the record, equal for all holds on it. */
  readonly id: string;
  /** A further hold on the same record. */
  clone(): ImmutableRef;
  /** Whether bytes must still be fetched or unpacked before it can be mounted. */
  readonly isLazy: boolean;
  /** A read-only (or, with `writable`, a throw-away writable) view; fetches and unpacks first where lazy. */
  mount(options: RefOptions & { readonly writable?: boolean }): Promise<HeldMounts>;
  /** Fetches and unpacks, if that has not happened. */
  extract(options: RefOptions): Promise<void>;
  /** Makes what blobs are missing (diff → tar → compress) and describes the layer chain. */
  remote(compression: CompressionOptions, options: RefOptions): Promise<Remote>;
  /** ChainID of the layers, when they are known to have blobs. */
  readonly chainId: ChainId | undefined;
  /** The refs of the single layers of this ref's chain, lowest first; each a new hold. Merge refs are flattened. */
  layerChain(): ImmutableRef[];
  /** @throws {LostContentError} if files that were unpacked, its own or those of what it is built on, are not there any more. */
  checkPresent(): Promise<void>;
  /** Whether its files were found to be gone, or those of what it is made of. Nobody else is given the record any more. */
  readonly isLost: boolean;
  /** Whether it is the record of this id, or made of it. */
  restsOn(record: string): boolean;
  /** Bytes used by this record itself. */
  size(options: { readonly signal: AbortSignal }): Promise<number>;
  readonly description: string;
  readonly createdAt: number;
}

/** The directory of what a mutable tree has of its own, in overlay's form. While it is held nothing may be mounted. */
export interface LayerDirectory extends AsyncDisposable {
  readonly path: string;
  /** The inodes that this layer and those below it have in common with other trees. */
  readonly linkedInodes: BigUint64Array;
  /** To be told what files of `source` were linked into it. */
  noteLinks(source: ImmutableRef, inodes: BigUint64Array): Promise<void>;
}

/** A tree that one holder may change. */
export interface MutableRef extends AsyncDisposable {
  readonly id: string;
  /** For links to files of other trees, which no mount takes; undefined where layers have no directories of their own. */
  openLayer(): Promise<LayerDirectory | undefined>;
  mount(options: { readonly signal: AbortSignal; readonly readonly?: boolean }): Promise<HeldMounts>;
  /** Turns it into an immutable ref and ends this one. Mounts must have been disposed. */
  commit(options?: CommitOptions): Promise<ImmutableRef>;
  /** Values that outlive the daemon, such as a local source's shared key. */
  metadata: Metadata;
}

/** What becomes of a tree that is committed. */
export interface CommitOptions {
  /** It goes with its last hold instead of becoming cache: for what only somebody who is there now can want. */
  readonly transient?: boolean;
}

/** Small values kept with a record, by key; `index` makes it findable by {@linkcode CacheManager.search}. */
export interface Metadata {
  get(key: string): string | undefined;
  set(key: string, value: string | undefined, options?: { readonly index?: boolean }): void;
}

export interface NewRefOptions {
  readonly signal: AbortSignal;
  readonly description: string;
  readonly recordType?: RecordType;
  /** Keep the record after its last holder left, also when it is mutable (cache mounts, contexts). */
  readonly retain?: boolean;
  /** What fetching a lazy parent reports to, and with which session it is done. */
  readonly progress?: ProgressWriter;
  readonly session?: unknown;
}

/** Where a lazy blob can be read; called with the session of whoever needs the bytes. */
export type LazyProvider = (session: unknown) => ContentProvider;

export interface BlobLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  readonly createdAt?: number;
  readonly description?: string;
}

export interface UsageRecord {
  readonly id: string;
  readonly mutable: boolean;
  readonly inUse: boolean;
  readonly sizeBytes: number;
  readonly parents: readonly string[];
  readonly createdAt: number;
  readonly lastUsedAt: number | undefined;
  readonly usageCount: number;
  readonly description: string;
  readonly recordType: RecordType;
  readonly shared: boolean;
}

export interface PruneOptions {
  readonly filters: readonly string[];
  readonly all: boolean;
  readonly keepDurationMs: number;
  readonly reservedSpaceBytes: number;
  readonly maxUsedSpaceBytes: number;
  readonly minFreeSpaceBytes: number;
  /** Whether the database and what belongs to no record are part of what is used: limits are then those of the disk. */
  readonly countsOverhead?: boolean;
}

/** What a prune would do with a record, and why. */
export interface PruneVerdict {
  readonly usage: UsageRecord;
  readonly goes: boolean;
  /**
   * `selected` (nothing limits the prune) and `over limit` go. `in use` is held by a build; `internal` goes with `all` only;
   * `recent` was used within the duration; `filtered` is not selected by the filters; `parent` is what others are built on;
   * `within limit` stays since there is enough space.
   */
  readonly reason:
    | "selected"
    | "over limit"
    | "in use"
    | "internal"
    | "recent"
    | "filtered"
    | "parent"
    | "within limit";
  /** Records that are built on it and stay. */
  readonly pinnedBy: readonly string[];
}

/**
 * Owns all records: trees, their blobs, their sizes and their lives. Records survive the daemon.
 */
export interface CacheManager {
  /** @throws {BuildError} `not_found` */
  get(id: string, options: { readonly signal: AbortSignal }): Promise<ImmutableRef>;
  /** Whether {@linkcode CacheManager.get} would succeed now. */
  has(id: string): boolean;
  /** @throws {BuildError} `not_found`; `failed_precondition`, while somebody else holds it. */
  getMutable(id: string, options: { readonly signal: AbortSignal }): Promise<MutableRef>;
  create(parent: ImmutableRef | undefined, options: NewRefOptions): Promise<MutableRef>;
  /** The ref of a stack of layers, lowest first; existing records with the same ChainIDs are used. Nothing is fetched yet. */
  getByLayers(layers: readonly BlobLayer[], lazy: LazyProvider, options: NewRefOptions): Promise<ImmutableRef>;
  merge(parents: readonly ImmutableRef[], options: NewRefOptions): Promise<ImmutableRef>;
  diff(lower: ImmutableRef | undefined, upper: ImmutableRef | undefined, options: NewRefOptions): Promise<ImmutableRef>;
  /** Ids of records with this indexed metadata value. */
  search(key: string, value: string): string[];
  metadata(id: string): Metadata;
  diskUsage(options: { readonly signal: AbortSignal; readonly filters?: readonly string[] }): Promise<UsageRecord[]>;
  /** Deletes what the options select and yields each record that is gone. */
  prune(options: PruneOptions & { readonly signal: AbortSignal }): AsyncIterable<UsageRecord>;
  /** What {@linkcode CacheManager.prune} would do now; those that would go come first, in their order. */
  explainPrune(options: PruneOptions & { readonly signal: AbortSignal }): Promise<PruneVerdict[]>;
  /**
   * BuildKit's content checksum of a path in a ref (`cache/contenthash`), the same bytes for the same tree.
   * Kept with the record once computed.
   */
  contentChecksum(ref: ImmutableRef, path: string, options: ChecksumOptions): Promise<Digest>;
  /** The files, with their attributes, that some content checksums stand for. */
  listContent(ref: ImmutableRef, queries: readonly ContentQuery[], options: RefOptions): Promise<ContentListing>;
  /** Which of the files would have a digest of an earlier listing, had they the attributes that they had then. */
  withSameBytes(ref: ImmutableRef, files: readonly FileQuestion[], options: RefOptions): Promise<readonly boolean[]>;
  /**
   * Keeps blobs that are no layers of records (manifests, histories) for as long as `owner` names them. An owner that is a
   * record's id ends with that record.
   */
  pinBlobs(owner: string, digests: readonly Digest[]): Promise<void>;
  /** Ends what an owner that is no record keeps. */
  unpinBlobs(owner: string): Promise<void>;
}

/** What of a tree a checksum is about. */
export interface ContentQuery extends ContentFilters {
  readonly path: string;
}

export interface ChecksumOptions extends RefOptions, ContentFilters {}

export interface ContentFilters {
  readonly followLinks?: boolean;
  readonly wildcard?: boolean;
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
  /** Beginnings of paths (under the checksum's own paths) of which something must be included, or it is `not_found`. */
  readonly requiredPaths?: readonly string[];
}
