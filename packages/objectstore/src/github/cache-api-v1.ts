import { Semaphore, TaskGroup } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreOptions } from "../object-store.ts";
import { type CacheApi, type CacheEntry, type EntryContent, entryVersion } from "./cache-api.ts";
import type { GithubConfig } from "./github-config.ts";
import type { GithubHttp } from "./github-http.ts";

const chunkBytes = 32 << 20;
const concurrency = 4;

/** The REST protocol that GitHub's own servers of enterprises have. */
export class CacheApiV1 implements CacheApi {
  readonly #config: GithubConfig;
  readonly #http: GithubHttp;

  constructor(config: GithubConfig, http: GithubHttp) {
    this.#config = config;
    this.#http = http;
  }

  async find(key: string, options: StoreOptions): Promise<CacheEntry | undefined> {
    const query = new URLSearchParams({ keys: key, version: entryVersion });
    const message = {
      action: `find cache entry "${key}"`,
      method: "GET" as const,
      ...this.#at(`cache?${query.toString()}`),
    };
    // Nothing at all is the answer for what is not there.
    const { cacheKey, archiveLocation } = await this.#http.json(message, options);
    if (typeof cacheKey !== "string" || cacheKey === "" || typeof archiveLocation !== "string") return undefined;
    return { key: cacheKey, url: archiveLocation };
  }

  async save(key: string, content: EntryContent, options: StoreOptions): Promise<void> {
    const value = { key, version: entryVersion };
    const reserve = { action: `reserve cache entry "${key}"`, path: "caches", value };
    const reserved = await this.#post(reserve, options);
    // GitHub and the servers that stand in for it write the name in both ways.
    const id = reserved["cacheId"] ?? reserved["cacheID"];
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id === 0)
      throw new BuildError("unknown", `Cannot reserve cache entry "${key}": no id came`);
    await this.#upload(id, { key, content }, options);
    const commit = { action: `commit cache entry "${key}"`, path: `caches/${id}`, value: { size: content.size } };
    await this.#post(commit, options);
  }

  async #upload(
    id: number,
    { key, content }: { readonly key: string; readonly content: EntryContent },
    options: StoreOptions,
  ): Promise<void> {
    const limit = new Semaphore(concurrency);
    await using group = new TaskGroup(options);
    for (let start = 0; start < content.size; start += chunkBytes) {
      const size = Math.min(chunkBytes, content.size - start);
      group.run(async (signal) => {
        using _permit = await limit.acquire({ signal });
        const message = {
          action: `upload cache entry "${key}"`,
          method: "PATCH" as const,
          ...this.#at(`caches/${id}`, {
            "content-type": "application/octet-stream",
            "content-range": `bytes ${start}-${start + size - 1}/*`,
            "content-length": String(size),
          }),
          body: () => content.read({ offset: start, size }, { signal }),
        };
        await this.#http.json(message, { signal });
      });
    }
    await group.join();
  }

  async #post(
    { action, path, value }: { readonly action: string; readonly path: string; readonly value: object },
    options: StoreOptions,
  ): Promise<Readonly<Record<string, unknown>>> {
    const at = this.#at(path, { "content-type": "application/json" });
    return await this.#http.json({ action, method: "POST", ...at, body: () => JSON.stringify(value) }, options);
  }

  #at(path: string, headers: Readonly<Record<string, string>> = {}) {
    return {
      url: `${this.#config.url}/_apis/artifactcache/${path}`,
      headers: {
        authorization: `Bearer ${this.#config.token}`,
        accept: "application/json;api-version=6.0-preview.1",
        ...headers,
      },
    };
  }
}
