import { type Clock, systemClock } from "@buildkit-ts/async";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import { blobSource } from "../blob-source.ts";
import type { ObjectStore, StoreOptions } from "../object-store.ts";
import { readBlobStream, readSmall } from "../read-blob-stream.ts";
import { S3Bucket } from "./s3-bucket.ts";
import type { S3Config } from "./s3-config.ts";

/** A bucket of S3, or of another server with its protocol. The AWS SDK is loaded by the first request. */
export class S3ObjectStore implements ObjectStore {
  readonly id: string;
  readonly parallelism: number;
  readonly #config: S3Config;
  readonly #clock: Clock;
  #bucket: Promise<S3Bucket> | undefined;

  constructor(config: S3Config, options: { readonly clock?: Clock } = {}) {
    this.#config = config;
    this.#clock = options.clock ?? systemClock;
    this.parallelism = config.parallelism;
    this.id = `s3 ${config.endpointUrl} ${config.bucket} ${config.manifestsPrefix}${config.names[0]}`;
  }

  async hasBlob(descriptor: Descriptor, options: StoreOptions): Promise<boolean> {
    const bucket = await this.#open();
    const key = this.#blobKey(descriptor);
    const found = await bucket.find(key, options);
    if (found === undefined) return false;
    if (this.#clock.now() - found.modifiedAt > this.#config.touchRefreshMs)
      await bucket.touch(key, found.size, options);
    return true;
  }

  async writeBlob(descriptor: Descriptor, from: ContentProvider, options: StoreOptions): Promise<void> {
    const bucket = await this.#open();
    const { size } = descriptor;
    await bucket.upload(this.#blobKey(descriptor), blobSource(descriptor, from, options), { ...options, size });
  }

  async open(
    descriptor: Descriptor,
    options: StoreOptions & { readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    const bucket = await this.#open();
    const key = this.#blobKey(descriptor);
    const openAt = async (offset: number, { signal }: StoreOptions) => await bucket.open(key, offset, { signal });
    return await readBlobStream(descriptor, openAt, { ...options, clock: this.#clock });
  }

  /** The index of the first name only, as other builders read it. */
  async readIndexes(options: StoreOptions): Promise<readonly Uint8Array[]> {
    const bucket = await this.#open();
    const key = this.#config.manifestsPrefix + this.#config.names[0];
    try {
      return [await readSmall(await bucket.open(key, 0, options), `index "${key}"`, options)];
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof BuildError && error.code === "not_found" && !error.message.includes("NoSuchBucket"))
        return [];
      throw error;
    }
  }

  async writeIndex(bytes: Uint8Array, options: StoreOptions): Promise<void> {
    const bucket = await this.#open();
    for (const name of this.#config.names) await bucket.put(this.#config.manifestsPrefix + name, bytes, options);
  }

  async #open(): Promise<S3Bucket> {
    this.#bucket ??= S3Bucket.open(this.#config);
    return await this.#bucket;
  }

  #blobKey({ digest }: Descriptor): string {
    return this.#config.blobsPrefix + digest;
  }
}
