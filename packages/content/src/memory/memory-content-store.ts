import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor, Digest } from "@buildkit-ts/oci";
import { BlobHash, blobFileName, missingBlob } from "../blob-hash.ts";
import type { BlobInfo, ContentStore, ContentWriter, OpenWriterOptions } from "../content-store.ts";

interface StoredBlob {
  readonly info: BlobInfo;
  readonly bytes: Uint8Array;
}

/** Keeps blobs in memory: for results that no disk shall see, and for tests. */
export class MemoryContentStore implements ContentStore {
  readonly #blobs = new Map<Digest, StoredBlob>();

  /** Nobody else can change what is in memory. */
  findIntact(digest: Digest): Promise<BlobInfo | undefined> {
    return this.find(digest);
  }

  find(digest: Digest): Promise<BlobInfo | undefined> {
    return Promise.resolve(this.#blobs.get(digest)?.info);
  }

  async open(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    options.signal.throwIfAborted();
    const blob = this.#blobs.get(descriptor.digest);
    if (blob === undefined) throw missingBlob(descriptor.digest);
    return await Promise.resolve(once(Uint8Array.from(blob.bytes.subarray(options.offset ?? 0))));
  }

  async openWriter(options: OpenWriterOptions): Promise<ContentWriter> {
    options.signal.throwIfAborted();
    return await Promise.resolve(
      new MemoryWriter(options.signal, (info, bytes) => {
        const present = this.#blobs.get(info.digest);
        if (present === undefined) this.#blobs.set(info.digest, { info, bytes });
        return present?.info ?? info;
      }),
    );
  }

  delete(digest: Digest): Promise<void> {
    this.#blobs.delete(digest);
    return Promise.resolve();
  }

  async *walk(): AsyncIterable<BlobInfo> {
    for (const { info } of this.#blobs.values()) yield await Promise.resolve(info);
  }
}

class MemoryWriter implements ContentWriter {
  readonly offset = 0;
  readonly #signal: AbortSignal;
  readonly #store: (info: BlobInfo, bytes: Uint8Array) => BlobInfo;
  readonly #hash = new BlobHash();
  readonly #chunks: Uint8Array[] = [];
  #ended = false;

  constructor(signal: AbortSignal, store: (info: BlobInfo, bytes: Uint8Array) => BlobInfo) {
    this.#signal = signal;
    this.#store = store;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#ended) throw new BuildError("failed_precondition", 'Cannot write blob "": its writer was closed');
    // Copied: the caller may reuse its buffer.
    this.#chunks.push(Uint8Array.from(chunk));
    await this.#hash.update(chunk);
  }

  async commit(expected: { readonly digest?: Digest; readonly size?: number }): Promise<BlobInfo> {
    this.#signal.throwIfAborted();
    if (this.#ended) throw new BuildError("failed_precondition", 'Cannot commit blob "": its writer was closed');
    this.#ended = true;
    const actual = this.#hash.verify(expected);
    blobFileName(actual.digest);
    return await Promise.resolve(this.#store({ ...actual, createdAt: Date.now() }, Buffer.concat(this.#chunks)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#chunks.length = 0;
    await Promise.resolve();
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield await Promise.resolve(bytes);
}
