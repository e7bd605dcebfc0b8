import { type ContentProvider, readBlob } from "@buildkit-ts/content";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import { type Descriptor, type Digest, type Index, isIndexType, isManifestType, type Manifest } from "@buildkit-ts/oci";

/** A named image of this machine. */
export interface StoredImage {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/**
 * Images by name, such as `docker.io/library/app:latest`; kept over restarts.
 *
 * What an image consists of is *pinned*: see {@linkcode PinnedContentStore}.
 */
export interface ImageStore {
  find(name: string): StoredImage | undefined;
  list(): StoredImage[];
  /** Names an image, whose blobs must be in the content store; a name that exists moves. */
  put(image: StoredImage, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Takes a name away; one that is not there is no error. Gives the blobs that no other image needs. */
  delete(name: string): readonly Digest[];
  isPinned(digest: Digest): boolean;
}

const schema = [
  "CREATE TABLE image (name TEXT PRIMARY KEY, descriptor TEXT NOT NULL) STRICT, WITHOUT ROWID",
  "CREATE TABLE image_blob (name TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (name, digest)) STRICT, WITHOUT ROWID",
  "CREATE INDEX image_blob_digest ON image_blob (digest)",
];

/** {@linkcode ImageStore} in the daemon's database. */
export class DatabaseImageStore implements ImageStore {
  readonly #database: MetadataDatabase;
  readonly #content: ContentProvider;

  constructor(options: { readonly database: MetadataDatabase; readonly content: ContentProvider }) {
    this.#database = options.database;
    this.#content = options.content;
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
    const blobs = new Set<Digest>();
    await this.#collect(image.descriptor, blobs, options);
    this.#database.transaction(() => {
      this.#database.run("DELETE FROM image_blob WHERE name = ?", image.name);
      this.#database.run(
        "INSERT INTO image VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET descriptor = excluded.descriptor",
        image.name,
        JSON.stringify(image.descriptor),
      );
      for (const digest of blobs) this.#database.run("INSERT INTO image_blob VALUES (?, ?)", image.name, digest);
    });
  }

  delete(name: string): readonly Digest[] {
    return this.#database.transaction(() => {
      const only = this.#database.all(
        "SELECT digest FROM image_blob AS b WHERE name = ? AND NOT EXISTS (SELECT 1 FROM image_blob WHERE digest = b.digest AND name != b.name)",
        name,
      );
      this.#database.run("DELETE FROM image_blob WHERE name = ?", name);
      this.#database.run("DELETE FROM image WHERE name = ?", name);
      return only.map((row) => row["digest"] as Digest);
    });
  }

  isPinned(digest: Digest): boolean {
    return this.#database.get("SELECT 1 FROM image_blob WHERE digest = ? LIMIT 1", digest) !== undefined;
  }

  async #collect(descriptor: Descriptor, blobs: Set<Digest>, options: { readonly signal: AbortSignal }): Promise<void> {
    if (blobs.has(descriptor.digest)) return;
    blobs.add(descriptor.digest);
    if (isIndexType(descriptor.mediaType)) {
      const index = JSON.parse((await readBlob(this.#content, descriptor, options)).toString("utf8")) as Index;
      for (const child of index.manifests) await this.#collect(child, blobs, options);
    } else if (isManifestType(descriptor.mediaType)) {
      const manifest = JSON.parse((await readBlob(this.#content, descriptor, options)).toString("utf8")) as Manifest;
      for (const child of [manifest.config, ...manifest.layers]) blobs.add(child.digest);
    }
  }
}

function parseDescriptor(text: unknown): Descriptor {
  return JSON.parse(String(text)) as Descriptor;
}
