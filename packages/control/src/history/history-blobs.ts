import type { ContentStore } from "@buildkit-ts/content";
import { type Descriptor, digestOf } from "@buildkit-ts/oci";

/** Keeps blobs for as long as an owner names them. */
interface BlobPins {
  pinBlobs(owner: string, digests: readonly Descriptor["digest"][]): Promise<void>;
  unpinBlobs(owner: string): Promise<void>;
}

/** Parts of records that clients read from the content store: they live as long as their record. */
export class HistoryBlobs {
  readonly #content: ContentStore;
  readonly #pins: BlobPins;

  constructor(options: { readonly content: ContentStore; readonly pins: BlobPins }) {
    this.#content = options.content;
    this.#pins = options.pins;
  }

  async add(
    ref: string,
    blob: { readonly mediaType: string; readonly bytes: Uint8Array },
    options: { readonly signal: AbortSignal },
  ): Promise<Descriptor> {
    const { mediaType, bytes } = blob;
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    // Pinned first, so that nobody collects it in between.
    await this.#pins.pinBlobs(ownerOf(ref), [descriptor.digest]);
    if ((await this.#content.findIntact(descriptor.digest)) !== undefined) return descriptor;
    await using writer = await this.#content.openWriter(options);
    await writer.write(bytes);
    await writer.commit({ digest: descriptor.digest, size: descriptor.size });
    return descriptor;
  }

  /** Gives up all blobs of a record. */
  async release(ref: string): Promise<void> {
    await this.#pins.unpinBlobs(ownerOf(ref));
  }
}

function ownerOf(ref: string): string {
  return `history-${ref}`;
}
