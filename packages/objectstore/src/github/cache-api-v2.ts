import { BuildError } from "@buildkit-ts/errdefs";
import { makeAzurePipeline } from "../azure/azure-pipeline.ts";
import { uploadBlockBlob } from "../azure/upload-block-blob.ts";
import type { StoreOptions } from "../object-store.ts";
import { storeError } from "../store-error.ts";
import { type CacheApi, type CacheEntry, type EntryContent, entryVersion } from "./cache-api.ts";
import type { GithubConfig } from "./github-config.ts";
import type { GithubHttp } from "./github-http.ts";

/** The Twirp protocol of github.com, which has entries written to Azure Blob Storage at signed URLs. */
export class CacheApiV2 implements CacheApi {
  readonly #config: GithubConfig;
  readonly #http: GithubHttp;

  constructor(config: GithubConfig, http: GithubHttp) {
    this.#config = config;
    this.#http = http;
  }

  async find(key: string, options: StoreOptions): Promise<CacheEntry | undefined> {
    const request = { key, restore_keys: [key], version: entryVersion };
    const found = await this.#call(
      { method: "GetCacheEntryDownloadURL", request, action: `find cache entry "${key}"` },
      options,
    ).catch((error: unknown) => {
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    });
    const { ok, matched_key: matched, signed_download_url: url } = found ?? {};
    return ok === true && typeof matched === "string" && typeof url === "string" ? { key: matched, url } : undefined;
  }

  async save(key: string, content: EntryContent, options: StoreOptions): Promise<void> {
    const entry = { key, version: entryVersion };
    const reserve = `reserve cache entry "${key}"`;
    const reserved = await this.#call({ method: "CreateCacheEntry", request: entry, action: reserve }, options);
    const { ok, signed_upload_url: url } = reserved;
    if (ok !== true || typeof url !== "string") throw new BuildError("unknown", `Cannot ${reserve}: it was refused`);
    await this.#upload(url, { key, content }, options);
    const commit = `commit cache entry "${key}"`;
    const request = { ...entry, size_bytes: content.size };
    const committed = await this.#call({ method: "FinalizeCacheEntryUpload", request, action: commit }, options);
    if (committed["ok"] !== true) throw new BuildError("unknown", `Cannot ${commit}: it was refused`);
  }

  async #upload(
    url: string,
    { key, content }: { readonly key: string; readonly content: EntryContent },
    options: StoreOptions,
  ): Promise<void> {
    const { azureSdk } = await import("../azure/azure-sdk.ts");
    const { size } = content;
    try {
      const client = new azureSdk.BlockBlobClient(url, makeAzurePipeline(azureSdk, new azureSdk.AnonymousCredential()));
      const body = content.read({ offset: 0, size }, options);
      await uploadBlockBlob(client, body, { ...options, size, ifAbsent: false });
    } catch (error) {
      throw storeError(error, `upload cache entry "${key}"`, { ...options, secrets: [url] });
    }
  }

  async #call(
    call: { readonly method: string; readonly request: object; readonly action: string },
    options: StoreOptions,
  ): Promise<Readonly<Record<string, unknown>>> {
    const message = {
      action: call.action,
      method: "POST" as const,
      url: `${this.#config.url}/twirp/github.actions.results.api.v1.CacheService/${call.method}`,
      headers: { authorization: `Bearer ${this.#config.token}`, "content-type": "application/json" },
      body: () => JSON.stringify(call.request),
    };
    return await this.#http.json(message, options);
  }
}
