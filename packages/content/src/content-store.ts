import type { Descriptor, Digest } from "@buildkit-ts/oci";

/** What a store knows of a committed blob. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** How a blob is written. */
export interface OpenWriterOptions {
  readonly signal: AbortSignal;
  readonly ref?: string;
  /** Many bytes are to come, in chunks that are the writer's from then on: it may move them to another thread. */
  readonly takesChunks?: boolean;
}

/** Reads blobs. Whoever only needs to read takes this, so that a registry can stand where a store does. */
export interface ContentProvider {
  /**
   * The blob's bytes from `offset` on. The chunks are the receiver's: nobody else uses their buffers.
   *
   * @throws {BuildError} `not_found`, when the blob is not there.
   */
  open(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>>;
}

/** One blob that is being written. Disposal without {@linkcode ContentWriter.commit} drops it. */
export interface ContentWriter extends AsyncDisposable {
  /** Bytes that are there already, from an earlier writer of the same ref. */
  readonly offset: number;
  /** Leaves the chunk to its caller afterwards, unless the writer was opened to take them. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the blob visible. @throws {BuildError} `data_loss`, if digest or size are not the expected ones. */
  commit(expected: { readonly digest?: Digest; readonly size?: number }): Promise<BlobInfo>;
}

/**
 * Bytes addressed by their digest.
 *
 * A blob is either *ingesting* (visible to its writer only) or *committed* (visible to all, immutable):
 *
 *     openWriter() ──▶ ingesting ──commit()──▶ committed ──delete()──▶ gone
 *                          └────dispose────▶ gone
 *
 * Committing a digest that is already there succeeds and changes nothing, so two builds may race to store one layer.
 */
export interface ContentStore extends ContentProvider {
  /** Cheap: nobody looks at the bytes. */
  find(digest: Digest): Promise<BlobInfo | undefined>;
  /**
   * The blob, if its bytes are those of its digest still: what lies on a disk can be damaged from outside. A damaged one is
   * removed, as if it had never been there. A file that has not changed since it was seen whole is not read again.
   */
  findIntact(digest: Digest): Promise<BlobInfo | undefined>;
  openWriter(options: OpenWriterOptions): Promise<ContentWriter>;
  /** Deletes a blob; one that is not there is no error. */
  delete(digest: Digest): Promise<void>;
  walk(): AsyncIterable<BlobInfo>;
}

/** A store on the local file system: its blobs can be opened by path, so that workers and system calls read them. */
export interface FileContentStore extends ContentStore {
  /** Where a committed blob lies; the file must not be changed. It may be absent. */
  pathOf(digest: Digest): string;
  /** A fresh path on the same file system to write a blob to; commit it with {@linkcode FileContentStore.adopt}. */
  createIngestPath(): string;
  /** Commits a file written by a trusted worker that already computed digest and size; moves it into place. */
  adopt(path: string, blob: { readonly digest: Digest; readonly size: number }): Promise<BlobInfo>;
}
