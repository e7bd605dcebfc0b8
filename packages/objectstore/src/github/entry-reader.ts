import type { Readable } from "node:stream";
import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreOptions } from "../object-store.ts";
import type { CacheApi } from "./cache-api.ts";
import type { GithubHttp } from "./github-http.ts";

/** Reads entries at the signed URLs that the service gives for them, and asks for new ones when they have expired. */
export class EntryReader {
  readonly #api: CacheApi;
  readonly #http: GithubHttp;
  readonly #urls = new Map<string, string>();

  constructor(api: CacheApi, http: GithubHttp) {
    this.#api = api;
    this.#http = http;
  }

  /** The entry's bytes from an offset on. @throws {BuildError} `not_found` */
  async open(key: string, offset: number, options: StoreOptions): Promise<Readable> {
    const known = this.#urls.get(key);
    if (known === undefined) return await this.#read(key, { url: await this.#find(key, options), offset }, options);
    try {
      return await this.#read(key, { url: known, offset }, options);
    } catch (error) {
      if (!(error instanceof BuildError) || !["permission_denied", "unauthenticated"].includes(error.code)) throw error;
      return await this.#read(key, { url: await this.#find(key, options), offset }, options);
    }
  }

  async #find(key: string, options: StoreOptions): Promise<string> {
    const entry = await this.#api.find(key, options);
    if (entry?.key !== key) throw new BuildError("not_found", `Cannot read cache entry "${key}": not found`);
    this.#urls.set(key, entry.url);
    return entry.url;
  }

  async #read(
    key: string,
    { url, offset }: { readonly url: string; readonly offset: number },
    options: StoreOptions,
  ): Promise<Readable> {
    const headers = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const answer = await this.#http.send({ action: `read cache entry "${key}"`, method: "GET", url, headers }, options);
    if (offset === 0 || String(answer.headers["content-range"]).startsWith(`bytes ${offset}-`)) return answer.body;
    answer.body.destroy();
    throw new BuildError("unimplemented", `Cannot read cache entry "${key}": its server ignores ranges`);
  }
}
