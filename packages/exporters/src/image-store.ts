import type { ContentProvider } from "@buildkit-ts/content";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import type { Descriptor, Digest } from "@buildkit-ts/oci";
import { listBlobs } from "./archive/image-archive.ts";

/** A named image of this machine. */
export interface StoredImage {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** Keeps blobs from being collected, for as long as an owner names them. */
export interface BlobPins {
  pinBlobs(owner: string, digests: readonly Digest[]): Promise<void>;
  unpinBlobs(owner: string): Promise<void>;
}

/** Images by name, such as `docker.io/library/app:latest`; kept over restarts, with all their blobs. */
export interface ImageStore {
  find(name: string): StoredImage | undefined;
  list(): StoredImage[];
  /** Names an image, whose blobs must be in the content store; a name that exists moves. */
  put(image: StoredImage, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Takes a name away; one that is not there is no error. */
  delete(name: string): Promise<void>;
}

const schema = ["CREATE TABLE image (name TEXT PRIMARY KEY, descriptor TEXT NOT NULL) STRICT, WITHOUT ROWID"];

/** What {@linkcode DatabaseImageStore} works with. */
export interface ImageStoreOptions {
  readonly database: MetadataDatabase;
  readonly content: ContentProvider;
  readonly pins: BlobPins;
}

/** {@linkcode ImageStore} in the daemon's database. */
export class DatabaseImageStore implements ImageStore {
  readonly #database: MetadataDatabase;
  readonly #content: ContentProvider;
  readonly #pins: BlobPins;

  constructor(options: ImageStoreOptions) {
    this.#database = options.database;
    this.#content = options.content;
    this.#pins = options.pins;
    this.#database.migrate("images", schema);
  }

  find(name: string): StoredImage | undefined {
    const row = this.#database.get("SELECT descriptor FROM image WHERE name = ?", name);
    return row === undefined ? undefined : { name, descriptor: parseDescriptor(row["descriptor"]) };
  }

  list(): StoredImage[] {
    return this.#database
      .all("SELECT name, descriptor FROM image ORDER BY name")
      .map((row) => ({ name: String(row["name"]), descriptor: parseDescriptor(row["descriptor"]) }));
  }

  async put(image: StoredImage, options: { readonly signal: AbortSignal }): Promise<void> {
    const blobs = await listBlobs(this.#content, image.descriptor, options);
    // The new blobs are held before the old ones are let go: they may be the same.
    await this.#pins.pinBlobs(
      pinOwner(image),
      blobs.map((blob) => blob.digest),
    );
    const previous = this.find(image.name);
    this.#database.run(
      "INSERT INTO image VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET descriptor = excluded.descriptor",
      image.name,
      JSON.stringify(image.descriptor),
    );
    if (previous !== undefined && previous.descriptor.digest !== image.descriptor.digest)
      await this.#pins.unpinBlobs(pinOwner(previous));
  }

  async delete(name: string): Promise<void> {
    const image = this.find(name);
    if (image === undefined) return;
    this.#database.run("DELETE FROM image WHERE name = ?", name);
    await this.#pins.unpinBlobs(pinOwner(image));
  }
}

function pinOwner(image: StoredImage): string {
  return `image ${image.name} ${image.descriptor.digest}`;
}

function parseDescriptor(text: unknown): Descriptor {
  return JSON.parse(String(text)) as Descriptor;
}
