import type { ContentProvider } from "@buildkit-ts/content";
import type { Descriptor } from "@buildkit-ts/oci";

/** Whoever asks a store for something, and may lose interest in it. */
export interface StoreOptions {
  readonly signal: AbortSignal;
}

/**
 * A place outside of this machine that keeps two kinds of objects.
 *
 * *Blobs* are immutable and found by their digest: writing one that is there already succeeds and changes nothing, so
 * that two builds may race to store one layer. An *index* names blobs, and is replaced as a whole: readers see the old
 * one or the new one, and of two writers the later one wins. A writer stores the blobs first:
 *
 *     hasBlob() ── no ──▶ writeBlob() ─┐
 *         └─────── yes ────────────────┴──▶ writeIndex() ──▶ visible to readIndexes(), whose readers open() the blobs
 *
 * Whoever owns the place may delete anything at any time, so that a blob which an index names may be gone.
 *
 * All methods throw {@linkcode BuildError}s: `unavailable` for what may pass, `unauthenticated` and `permission_denied`,
 * `not_found`. No text of theirs holds a credential, or a URL that is one.
 */
export interface ObjectStore extends ContentProvider {
  /** Tells stores apart, also by where in them the index lies. Holds no credential. */
  readonly id: string;
  /** How many blobs may be written at a time: memory is used for each. */
  readonly parallelism: number;
  /** Whether the blob is there. Where old objects are deleted, one that is counts as new afterwards. */
  hasBlob(descriptor: Descriptor, options: StoreOptions): Promise<boolean>;
  /** Stores a blob that `from` provides, a part of it in memory at a time. */
  writeBlob(descriptor: Descriptor, from: ContentProvider, options: StoreOptions): Promise<void>;
  /** The indexes that are to be read together, none where nobody has written one yet. */
  readIndexes(options: StoreOptions): Promise<readonly Uint8Array[]>;
  /** Replaces the index, under all names that it shall have. */
  writeIndex(bytes: Uint8Array, options: StoreOptions): Promise<void>;
}

/** What the names of a store's attributes and their values are; all of them come from clients. */
export type StoreAttributes = Readonly<Record<string, string>>;

/** The daemon's variables, for attributes that clients leave out. */
export type StoreEnvironment = Readonly<Record<string, string | undefined>>;
