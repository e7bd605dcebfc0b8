import type { Readable } from "node:stream";
import type { ContainerClient } from "@azure/storage-blob";
import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreOptions } from "../object-store.ts";
import { isNamed, statusOf, storeError } from "../store-error.ts";
import type { AzureConfig } from "./azure-config.ts";
import { makeAzurePipeline } from "./azure-pipeline.ts";
import { uploadBlockBlob } from "./upload-block-blob.ts";

/** Single requests upon the blobs of one container. */
export class AzureContainer {
  readonly #client: ContainerClient;
  readonly #secrets: readonly string[];

  constructor(client: ContainerClient, secrets: readonly string[]) {
    this.#client = client;
    this.#secrets = secrets;
  }

  /** Loads the SDK, and makes sure that the container is there. */
  static async open(config: AzureConfig, options: StoreOptions): Promise<AzureContainer> {
    const { azureSdk } = await import("./azure-sdk.ts");
    const { accountUrl, accountName, secretAccessKey, container } = config;
    const credential =
      secretAccessKey === ""
        ? new azureSdk.DefaultAzureCredential()
        : new azureSdk.StorageSharedKeyCredential(accountName, secretAccessKey);
    const url = `${accountUrl.replace(/\/+$/, "")}/${encodeURIComponent(container)}`;
    const client = new azureSdk.ContainerClient(url, makeAzurePipeline(azureSdk, credential));
    const opened = new AzureContainer(client, [secretAccessKey]);
    await opened.#run(`open container "${container}"`, options, async (abortSignal) => {
      try {
        await client.getProperties({ abortSignal });
      } catch (error) {
        if (!isNamed(error, "ContainerNotFound") && statusOf(error) !== 404) throw error;
        await client.createIfNotExists({ abortSignal });
      }
    });
    return opened;
  }

  async has(key: string, options: StoreOptions): Promise<boolean> {
    return await this.#run(`find blob "${key}"`, options, async (abortSignal) => {
      return await this.#client.getBlobClient(key).exists({ abortSignal });
    });
  }

  /** The blob's bytes from an offset on. @throws {BuildError} `not_found` */
  async open(key: string, offset: number, options: StoreOptions): Promise<Readable> {
    return await this.#run(`read blob "${key}"`, options, async (abortSignal) => {
      // Broken connections are taken up by our own reader, for all stores alike.
      const answer = await this.#client
        .getBlobClient(key)
        .download(offset, undefined, { abortSignal, maxRetryRequests: 0 });
      const body = answer.readableStreamBody as Readable | undefined;
      if (body === undefined) throw new BuildError("unavailable", `Cannot read blob "${key}": no data came`);
      return body;
    });
  }

  /** Writes a small blob at once. */
  async put(key: string, bytes: Uint8Array, options: StoreOptions): Promise<void> {
    await this.#run(`write blob "${key}"`, options, async (abortSignal) => {
      await this.#client.getBlockBlobClient(key).upload(bytes, bytes.length, { abortSignal });
    });
  }

  /** Writes a blob that never changes; one that is there by now is left as it is. */
  async upload(key: string, body: Readable, options: StoreOptions & { readonly size: number }): Promise<void> {
    await this.#run(`write blob "${key}"`, options, async () => {
      try {
        await uploadBlockBlob(this.#client.getBlockBlobClient(key), body, { ...options, ifAbsent: true });
      } catch (error) {
        if (!isNamed(error, "BlobAlreadyExists")) throw error;
      }
    });
  }

  async #run<T>(action: string, options: StoreOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    options.signal.throwIfAborted();
    try {
      return await work(options.signal);
    } catch (error) {
      throw storeError(error, action, { ...options, secrets: this.#secrets });
    }
  }
}
