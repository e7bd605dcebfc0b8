import { posix } from "node:path";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import { blobSource } from "../blob-source.ts";
import type { ObjectStore, StoreOptions } from "../object-store.ts";
import { readBlobStream, readSmall } from "../read-blob-stream.ts";
import type { AzureConfig } from "./azure-config.ts";
import { AzureContainer } from "./azure-container.ts";

/** A container of Azure Blob Storage, which is made if it is not there. The SDK is loaded by the first request. */
export class AzureObjectStore implements ObjectStore {
  readonly id: string;
  readonly parallelism = 4;
  readonly #config: AzureConfig;
  #container: Promise<AzureContainer> | undefined;

  constructor(config: AzureConfig) {
    this.#config = config;
    // A shared access signature would be in the query.
    const [place = ""] = config.accountUrl.split("?");
    this.id = `azblob ${place} ${config.container} ${config.names.map((name) => this.#indexKey(name)).join(";")}`;
  }

  async hasBlob(descriptor: Descriptor, options: StoreOptions): Promise<boolean> {
    const container = await this.#open(options);
    return await container.has(this.#blobKey(descriptor), options);
  }

  async writeBlob(descriptor: Descriptor, from: ContentProvider, options: StoreOptions): Promise<void> {
    const container = await this.#open(options);
    const { size } = descriptor;
    await container.upload(this.#blobKey(descriptor), blobSource(descriptor, from, options), { ...options, size });
  }

  async open(
    descriptor: Descriptor,
    options: StoreOptions & { readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    const container = await this.#open(options);
    const key = this.#blobKey(descriptor);
    const openAt = async (offset: number, { signal }: StoreOptions) => await container.open(key, offset, { signal });
    return await readBlobStream(descriptor, openAt, options);
  }

  /** The indexes of all names. */
  async readIndexes(options: StoreOptions): Promise<readonly Uint8Array[]> {
    const container = await this.#open(options);
    const found = await Promise.all(
      this.#config.names.map(async (name) => await this.#readIndex(container, name, options)),
    );
    return found.filter((bytes) => bytes !== undefined);
  }

  async #readIndex(container: AzureContainer, name: string, options: StoreOptions): Promise<Uint8Array | undefined> {
    const key = this.#indexKey(name);
    try {
      return await readSmall(await container.open(key, 0, options), `index "${key}"`, options);
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  async writeIndex(bytes: Uint8Array, options: StoreOptions): Promise<void> {
    const container = await this.#open(options);
    for (const name of this.#config.names) await container.put(this.#indexKey(name), bytes, options);
  }

  async #open(options: StoreOptions): Promise<AzureContainer> {
    const opening = (this.#container ??= AzureContainer.open(this.#config, options));
    // What cannot be reached now may be reached by the next one who asks.
    opening.catch(() => {
      if (this.#container === opening) this.#container = undefined;
    });
    return await opening;
  }

  #blobKey({ digest }: Descriptor): string {
    return posix.join(this.#config.prefix, this.#config.blobsPrefix, digest);
  }

  #indexKey(name: string): string {
    return posix.join(this.#config.prefix, this.#config.manifestsPrefix, name);
  }
}
