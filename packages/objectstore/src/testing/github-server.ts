import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import {
  BlobSASPermissions,
  ContainerClient,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { makeAzurePipeline } from "../azure/azure-pipeline.ts";
import { azureSdk } from "../azure/azure-sdk.ts";
import type { StoreAttributes } from "../object-store.ts";
import type { AzuriteServer } from "./azurite-server.ts";

interface Entry {
  readonly id: number;
  readonly key: string;
  readonly parts: { readonly start: number; readonly bytes: Buffer }[];
  isComplete: boolean;
}

const container = "actions-cache";

/**
 * GitHub's cache service in both versions of its protocol, and the part of the REST API that lists entries. Entries of
 * the second version are blobs of Azurite, at signed URLs that this server gives out; it never sees their bytes.
 */
export class GithubServer implements AsyncDisposable {
  readonly url: string;
  /** Requests as they came, without queries. */
  readonly requests: string[] = [];
  /** So many of the next requests are too many. */
  tooMany = 0;
  /** So many of the next URLs that are given out have expired. */
  expired = 0;
  readonly #server: Server;
  readonly #azurite: AzuriteServer;
  readonly #entries: Entry[] = [];

  private constructor(server: Server, azurite: AzuriteServer) {
    this.#server = server;
    this.#azurite = azurite;
    const address = server.address();
    this.url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    server.on("request", (message, response) => {
      this.#answer(message, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
    });
  }

  static async start(azurite: AzuriteServer): Promise<GithubServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const started = new GithubServer(server, azurite);
    await started.#container().createIfNotExists();
    return started;
  }

  /** What a client says to have its cache here. */
  attributes(version: 1 | 2, scope: string): StoreAttributes {
    return { [version === 1 ? "url" : "url_v2"]: this.url, token: this.token(), scope };
  }

  /** A token for a branch and its base, of which only the branch may be written to. */
  token(claims: Readonly<Record<string, unknown>> = {}): string {
    const scopes = [
      { Scope: "refs/heads/main", Permission: 1 },
      { Scope: "refs/heads/change", Permission: 3 },
    ];
    const now = Math.floor(Date.now() / 1000);
    const payload = { ac: JSON.stringify(scopes), nbf: now - 60, exp: now + 3600, ...claims };
    const parts = [{ alg: "HS256" }, payload].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
    return [...parts, "c2lnbmF0dXJl"].join(".");
  }

  /** Reserves a key, and never completes it. */
  block(key: string): void {
    this.#entries.push({ id: this.#entries.length + 1, key, parts: [], isComplete: false });
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(message.url ?? "", this.url);
    this.requests.push(`${message.method} ${pathname}`);
    if (this.tooMany > 0) {
      this.tooMany -= 1;
      message.resume();
      response.writeHead(429, { "retry-after": "7" }).end();
      return;
    }
    if (pathname.startsWith("/archive/")) return this.#sendArchive(Number(pathname.slice(9)), message, response);
    if (!(message.headers.authorization ?? "").startsWith("Bearer ")) return void response.writeHead(401).end("{}");
    const method = pathname.split(".CacheService/")[1];
    if (method !== undefined) return await this.#answerV2(method, message, response);
    if (pathname.startsWith("/repos/")) return this.#list(searchParams, response);
    await this.#answerV1(pathname.replace("/_apis/artifactcache/", ""), message, response);
  }

  #list(search: URLSearchParams, response: ServerResponse): void {
    const keys = this.#entries.filter(({ key, isComplete }) => isComplete && key.startsWith(search.get("key") ?? ""));
    const [page, size] = [Number(search.get("page")), Number(search.get("per_page"))];
    json(response, 200, { total_count: keys.length, actions_caches: keys.slice((page - 1) * size, page * size) });
  }

  #find(key: string): Entry | undefined {
    const complete = this.#entries.filter((entry) => entry.isComplete);
    return complete.find((entry) => entry.key === key) ?? complete.findLast((entry) => entry.key.startsWith(key));
  }

  #reserve(key: string): Entry | undefined {
    if (this.#entries.some((entry) => entry.key === key)) return undefined;
    const entry = { id: this.#entries.length + 1, key, parts: [], isComplete: false };
    this.#entries.push(entry);
    return entry;
  }

  #sendFound(message: IncomingMessage, response: ServerResponse): void {
    const found = this.#find(new URL(message.url ?? "", this.url).searchParams.get("keys") ?? "");
    if (found === undefined) return void response.writeHead(204).end();
    json(response, 200, { cacheKey: found.key, archiveLocation: `${this.url}/archive/${found.id}` });
  }

  async #answerV1(path: string, message: IncomingMessage, response: ServerResponse): Promise<void> {
    if (message.method === "GET") return this.#sendFound(message, response);
    const entry = this.#entries.find(({ id }) => path === `caches/${id}`);
    if (message.method === "PATCH") {
      const [, start] = /^bytes (\d+)-\d+\/\*$/.exec(message.headers["content-range"] ?? "") ?? [];
      entry?.parts.push({ start: Number(start), bytes: Buffer.concat(await Array.fromAsync(message)) });
      return json(response, entry === undefined ? 404 : 204, undefined);
    }
    const body = JSON.parse(await text(message)) as { readonly key?: string; readonly size?: number };
    if (path === "caches") {
      const reserved = this.#reserve(body.key ?? "");
      if (reserved !== undefined) return json(response, 201, { cacheId: reserved.id });
      return json(response, 409, {
        message: "Cache already exists",
        typeKey: "ArtifactCacheItemAlreadyExistsException",
      });
    }
    const size = entry?.parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (entry === undefined || size !== body.size) return json(response, 400, { message: "The size is not right" });
    entry.isComplete = true;
    json(response, 204, undefined);
  }

  #sendArchive(id: number, message: IncomingMessage, response: ServerResponse): void {
    if (this.expired > 0) {
      this.expired -= 1;
      return void response.writeHead(403).end();
    }
    const parts = this.#entries.find((entry) => entry.id === id)?.parts ?? [];
    const bytes = Buffer.concat(parts.toSorted((a, b) => a.start - b.start).map((part) => part.bytes));
    const [, start] = /^bytes=(\d+)-$/.exec(message.headers.range ?? "") ?? [];
    if (start === undefined) return void response.writeHead(200).end(bytes);
    const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    response.writeHead(206, { "content-range": range }).end(bytes.subarray(Number(start)));
  }

  async #answerV2(method: string, message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { key = "" } = JSON.parse(await text(message)) as { readonly key?: string };
    if (method === "CreateCacheEntry") {
      const reserved = this.#reserve(key);
      if (reserved === undefined)
        return json(response, 409, { code: "already_exists", msg: "cache entry already exists" });
      return json(response, 200, { ok: true, signed_upload_url: this.#sign(reserved.id, "cw") });
    }
    if (method === "FinalizeCacheEntryUpload") {
      const entry = this.#entries.findLast((known) => known.key === key);
      if (entry !== undefined) entry.isComplete = true;
      return json(response, 200, { ok: entry !== undefined, entry_id: String(entry?.id) });
    }
    const found = this.#find(key);
    if (found === undefined) return json(response, 200, { ok: false });
    json(response, 200, { ok: true, matched_key: found.key, signed_download_url: this.#sign(found.id, "r") });
  }

  #sign(id: number, permissions: string): string {
    const isExpired = permissions === "r" && this.expired > 0;
    if (isExpired) this.expired -= 1;
    const credential = new StorageSharedKeyCredential(this.#azurite.accountName, this.#azurite.accountKey);
    const blobName = `entry-${id}`;
    const query = generateBlobSASQueryParameters(
      {
        containerName: container,
        blobName,
        version: "2021-12-02",
        permissions: BlobSASPermissions.parse(permissions),
        startsOn: new Date(Date.now() - 7_200_000),
        expiresOn: new Date(Date.now() + (isExpired ? -3_600_000 : 3_600_000)),
      },
      credential,
    );
    return `${this.#azurite.accountUrl}/${container}/${blobName}?${query.toString()}`;
  }

  #container(): ContainerClient {
    const credential = new StorageSharedKeyCredential(this.#azurite.accountName, this.#azurite.accountKey);
    return new ContainerClient(`${this.#azurite.accountUrl}/${container}`, makeAzurePipeline(azureSdk, credential));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(value && JSON.stringify(value));
}
