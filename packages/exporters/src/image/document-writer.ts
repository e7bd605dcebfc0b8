import type { ContentStore } from "@buildkit-ts/content";
import { type Descriptor, type Digest, digestOf } from "@buildkit-ts/oci";
import type { BlobPins } from "../blob-pins.ts";
import type { ExportContext, ExportInput } from "../exporter.ts";
import { writeBlob } from "./write-blob.ts";

/** A small blob of an image. */
export interface ImageDocument {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** What {@linkcode DocumentWriter} works with. */
export interface DocumentWriterOptions {
  readonly content: ContentStore;
  /** Lets documents go with the records that they describe; without it they stay. */
  readonly pins?: BlobPins;
}

/** Stores manifests, configs and statements, each held by the records that it describes. */
export class DocumentWriter {
  readonly #content: ContentStore;
  readonly #pins: DocumentWriterOptions["pins"];

  constructor(options: DocumentWriterOptions) {
    this.#content = options.content;
    this.#pins = options.pins;
  }

  async write(document: ImageDocument, input: ExportInput, context: ExportContext): Promise<Descriptor> {
    // Pinned first: a blob that is there already may be about to go with its only other record.
    await this.pin(digestOf(document.bytes), input, context);
    return await writeBlob(this.#content, document, context);
  }

  /** The same with a line of progress: `exporting <kind> <digest>`. */
  async writeNamed(
    document: ImageDocument & { readonly kind: string },
    input: ExportInput,
    context: ExportContext,
  ): Promise<Descriptor> {
    const started = Date.now();
    const descriptor = await this.write(document, input, context);
    const id = `exporting ${document.kind} ${descriptor.digest}`;
    context.progress.status({ id, started });
    context.progress.status({ id, started, completed: Date.now() });
    return descriptor;
  }

  async pin(digest: Digest, input: ExportInput, { owner }: Pick<ExportContext, "owner">): Promise<void> {
    const refs = [input.ref, ...input.refs.values()].filter((ref) => ref !== undefined);
    // An image without layers has no record that its documents could go with.
    const owners = refs.length === 0 && owner !== undefined ? [owner] : refs.map(({ id }) => id);
    for (const name of owners) await this.#pins?.pinBlobs(name, [digest]);
  }
}
