import { type Clock, type ErrorReporter, systemClock } from "@buildkit-ts/async";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, digestOf } from "@buildkit-ts/oci";
import { blobSource } from "../blob-source.ts";
import type { ObjectStore, StoreOptions } from "../object-store.ts";
import { readBlobStream, readSmall } from "../read-blob-stream.ts";
import { readTokenScopes, type TokenScope } from "./access-token.ts";
import type { CacheApi } from "./cache-api.ts";
import { CacheApiV1 } from "./cache-api-v1.ts";
import { CacheApiV2 } from "./cache-api-v2.ts";
import { EntryReader } from "./entry-reader.ts";
import type { GithubConfig } from "./github-config.ts";
import { GithubHttp } from "./github-http.ts";
import { listEntryKeys } from "./list-entry-keys.ts";
import { saveIndex } from "./save-index.ts";

/** What {@linkcode GithubObjectStore} works with. */
export interface GithubStoreOptions {
  readonly reporter: ErrorReporter;
  readonly clock?: Clock;
  /** GitHub's REST API. */
  readonly apiUrl?: string;
}

const blobPrefix = "buildkit-blob-1-";

/** GitHub's cache service, for the branches that a token is for: one is written to, all are read. */
export class GithubObjectStore implements ObjectStore {
  readonly id: string;
  readonly parallelism = 4;
  readonly #config: GithubConfig;
  readonly #options: GithubStoreOptions;
  readonly #clock: Clock;
  readonly #scopes: readonly TokenScope[];
  readonly #http: GithubHttp;
  readonly #api: CacheApi;
  readonly #entries: EntryReader;
  #present: Promise<ReadonlySet<string> | undefined> | undefined;

  /** @throws {BuildError} `invalid_argument` or `unauthenticated`, for a token that cannot be used. */
  constructor(config: GithubConfig, options: GithubStoreOptions) {
    this.#config = config;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#scopes = readTokenScopes(config.token, this.#clock.now());
    const secrets = [config.token, config.apiToken].filter((secret) => secret !== "");
    this.#http = new GithubHttp({ secrets, timeoutMs: config.timeoutMs, clock: this.#clock });
    this.#api = config.apiVersion === 2 ? new CacheApiV2(config, this.#http) : new CacheApiV1(config, this.#http);
    this.#entries = new EntryReader(this.#api, this.#http);
    this.id = `gha ${config.url} ${this.#scopes.map(({ scope }) => this.#indexKey(scope)).join(" ")}`;
  }

  async hasBlob({ digest }: Descriptor, options: StoreOptions): Promise<boolean> {
    const key = blobPrefix + digest;
    const present = await (this.#present ??= this.#listPresent(options));
    if (present !== undefined) return present.has(key);
    return (await this.#api.find(key, options))?.key === key;
  }

  async writeBlob(descriptor: Descriptor, from: ContentProvider, options: StoreOptions): Promise<void> {
    const content = {
      size: descriptor.size,
      read: (range: { readonly offset: number; readonly size: number }, { signal }: StoreOptions) =>
        blobSource(descriptor, from, { ...range, signal }),
    };
    try {
      await this.#api.save(blobPrefix + descriptor.digest, content, options);
    } catch (error) {
      // Another build is writing the same blob, or has.
      if (!(error instanceof BuildError) || error.code !== "already_exists") throw error;
    }
  }

  async open(
    descriptor: Descriptor,
    options: StoreOptions & { readonly offset?: number },
  ): Promise<AsyncIterable<Uint8Array>> {
    const key = blobPrefix + descriptor.digest;
    const openAt = async (offset: number, { signal }: StoreOptions) =>
      await this.#entries.open(key, offset, { signal });
    return await readBlobStream(descriptor, openAt, { ...options, clock: this.#clock });
  }

  /** The indexes of all branches that the token may read. */
  async readIndexes(options: StoreOptions): Promise<readonly Uint8Array[]> {
    const found = await Promise.all(
      this.#scopes.map(async ({ scope }) => {
        const key = `${this.#indexKey(scope)}#`;
        const entry = await this.#api.find(key, options);
        if (entry === undefined || !entry.key.startsWith(key)) return undefined;
        return await readSmall(await this.#entries.open(entry.key, 0, options), `index "${entry.key}"`, options);
      }),
    );
    return found.filter((bytes) => bytes !== undefined);
  }

  async writeIndex(bytes: Uint8Array, options: StoreOptions): Promise<void> {
    const scope = this.#scopes.findLast(({ canWrite }) => canWrite)?.scope ?? "";
    await saveIndex(this.#api, { key: this.#indexKey(scope), bytes }, { ...options, clock: this.#clock });
  }

  /** One index for each branch: what a pull request writes shall not be read by others. */
  #indexKey(scope: string): string {
    return `index-${this.#config.scope}-1-${digestOf(scope).slice("sha256:".length, "sha256:".length + 8)}`;
  }

  /** What is there, asked once; undefined, where the REST API may not be asked: then each blob is asked for. */
  async #listPresent(options: StoreOptions): Promise<ReadonlySet<string> | undefined> {
    const { repository, apiToken } = this.#config;
    if (repository === "" || apiToken === "") return undefined;
    const { apiUrl = "https://api.github.com", reporter } = this.#options;
    const refs = this.#scopes.map(({ scope }) => scope);
    try {
      return await listEntryKeys(this.#http, { repository, apiToken, apiUrl, prefix: blobPrefix, refs }, options);
    } catch (error) {
      options.signal.throwIfAborted();
      reporter.report(error, "list entries of GitHub's cache service");
      return undefined;
    }
  }
}
