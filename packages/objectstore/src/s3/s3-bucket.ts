import type { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import { BuildError } from "@buildkit-ts/errdefs";
import { nodeAgents } from "@buildkit-ts/proxies";
import type { StoreOptions } from "../object-store.ts";
import { isNamed, statusOf, storeError } from "../store-error.ts";
import type { S3Config } from "./s3-config.ts";
import type { s3Sdk } from "./s3-sdk.ts";
import { touchObject } from "./touch-object.ts";

type Sdk = typeof s3Sdk;

/** The smallest part that S3 takes, and how many it takes of one object. */
const minPartBytes = 5 << 20;
const maxParts = 10_000;

/** Connections stay for a minute; the SDK itself knows no proxies of the environment. */
const agents = nodeAgents({ maxSockets: 50, timeout: 60_000 }, process.env);

/** Single requests upon the objects of one bucket. */
export class S3Bucket {
  readonly #config: S3Config;
  readonly #sdk: Sdk;
  readonly #client: S3Client;

  constructor(config: S3Config, sdk: Sdk, client: S3Client) {
    this.#config = config;
    this.#sdk = sdk;
    this.#client = client;
  }

  /** Loads the SDK, and makes a client; nothing is asked yet. */
  static async open(config: S3Config): Promise<S3Bucket> {
    const { s3Sdk: sdk } = await import("./s3-sdk.ts");
    const { region, credentials, endpointUrl, usePathStyle, retryMode, maxAttempts } = config;
    const client = new sdk.S3Client({
      region,
      ...(credentials !== undefined && { credentials }),
      ...(endpointUrl !== "" && { endpoint: endpointUrl, forcePathStyle: usePathStyle }),
      ...(retryMode !== undefined && { retryMode }),
      ...(maxAttempts !== undefined && { maxAttempts }),
      // Digests guard the blobs, and other servers than Amazon's do not know the newer checksums.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: 30_000,
        socketTimeout: 120_000,
        httpAgent: agents.http,
        httpsAgent: agents.https,
      },
    });
    return new S3Bucket(config, sdk, client);
  }

  /** Undefined where there is no such object. */
  async find(
    key: string,
    options: StoreOptions,
  ): Promise<{ readonly size: number; readonly modifiedAt: number } | undefined> {
    const head = await this.#run(`find object "${key}"`, options, async (abortSignal) => {
      const command = new this.#sdk.HeadObjectCommand({ Bucket: this.#config.bucket, Key: key });
      return await this.#client.send(command, { abortSignal }).catch(undefinedIfAbsent);
    });
    return head && { size: head.ContentLength ?? 0, modifiedAt: head.LastModified?.getTime() ?? 0 };
  }

  /** The object's bytes from an offset on. @throws {BuildError} `not_found` */
  async open(key: string, offset: number, options: StoreOptions): Promise<Readable> {
    return await this.#run(`read object "${key}"`, options, async (abortSignal) => {
      const range = offset > 0 ? { Range: `bytes=${offset}-` } : {};
      const command = new this.#sdk.GetObjectCommand({ Bucket: this.#config.bucket, Key: key, ...range });
      const { Body, ContentRange = "" } = await this.#client.send(command, { abortSignal });
      const body = Body as Readable | undefined;
      if (body === undefined) throw new BuildError("unavailable", `Cannot read object "${key}": no data came`);
      if (offset === 0 || ContentRange.startsWith(`bytes ${offset}-`)) return body;
      body.destroy();
      throw new BuildError("unimplemented", `Cannot read object "${key}": its server ignores ranges`);
    });
  }

  /** Writes a small object at once. */
  async put(key: string, bytes: Uint8Array, options: StoreOptions): Promise<void> {
    await this.#run(`write object "${key}"`, options, async (abortSignal) => {
      const command = new this.#sdk.PutObjectCommand({ Bucket: this.#config.bucket, Key: key, Body: bytes });
      await this.#client.send(command, { abortSignal });
    });
  }

  /** Writes an object of a known size in parts, of which a few are in memory at a time. */
  async upload(key: string, body: Readable, options: StoreOptions & { readonly size: number }): Promise<void> {
    await this.#run(`write object "${key}"`, options, async (signal) => {
      const abortController = new AbortController();
      const onAbort = (): void => abortController.abort(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await new this.#sdk.Upload({
          client: this.#client,
          params: { Bucket: this.#config.bucket, Key: key, Body: body },
          partSize: Math.max(minPartBytes, Math.ceil(options.size / maxParts)),
          queueSize: 4,
          abortController,
        }).done();
      } finally {
        signal.removeEventListener("abort", onAbort);
        body.destroy();
      }
    });
  }

  /** Makes the object as new as if it had just been written. */
  async touch(key: string, size: number, options: StoreOptions): Promise<void> {
    await this.#run(`touch object "${key}"`, options, async (abortSignal) => {
      const object = { bucket: this.#config.bucket, key, size };
      await touchObject(this.#sdk, object, async (command) => await this.#client.send(command, { abortSignal }));
    });
  }

  async #run<T>(action: string, options: StoreOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    options.signal.throwIfAborted();
    try {
      return await work(options.signal);
    } catch (error) {
      const { secretAccessKey = "", sessionToken = "" } = this.#config.credentials ?? {};
      throw storeError(error, action, { ...options, secrets: [secretAccessKey, sessionToken] });
    }
  }
}

function undefinedIfAbsent(error: unknown): undefined {
  // An answer to HEAD says no more than 404; that the bucket is missing shows when something is written.
  if (isNamed(error, "NotFound", "NoSuchKey") || statusOf(error) === 404) return undefined;
  throw error;
}
