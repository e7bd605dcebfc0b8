import type { BlobInfo, ContentWriter, FileContentStore } from "@buildkit-ts/content";
import type { Descriptor, Digest } from "@buildkit-ts/oci";

/**
 * A content store in which pinned blobs cannot be deleted: those of named images stay when the cache that made them
 * lets them go. Deleting a pinned blob does nothing; whoever unpins it deletes it again.
 */
export class PinnedContentStore implements FileContentStore {
  readonly #store: FileContentStore;
  readonly #isPinned: (digest: Digest) => boolean;

  constructor(store: FileContentStore, options: { readonly isPinned: (digest: Digest) => boolean }) {
    this.#store = store;
    this.#isPinned = options.isPinned;
  }

  async delete(digest: Digest): Promise<void> {
    if (!this.#isPinned(digest)) await this.#store.delete(digest);
  }

  async find(digest: Digest): Promise<BlobInfo | undefined> {
    return await this.#store.find(digest);
  }

  async open(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    return await this.#store.open(descriptor, options);
  }

  async openWriter(options: { readonly signal: AbortSignal; readonly ref?: string }): Promise<ContentWriter> {
    return await this.#store.openWriter(options);
  }

  walk(): AsyncIterable<BlobInfo> {
    return this.#store.walk();
  }

  pathOf(digest: Digest): string {
    return this.#store.pathOf(digest);
  }

  createIngestPath(): string {
    return this.#store.createIngestPath();
  }

  async adopt(path: string, blob: { readonly digest: Digest; readonly size: number }): Promise<BlobInfo> {
    return await this.#store.adopt(path, blob);
  }
}
