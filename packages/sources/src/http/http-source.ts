import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, isDigest } from "@buildkit-ts/oci";
import { GrpcByteStream, getSecret, type SessionManager, streamOutcome } from "@buildkit-ts/session";
import { EnvHttpProxyAgent, fetch, type Response } from "undici";
import { withAnySession } from "../any-session.ts";
import { getPlainDirectory } from "../plain-directory.ts";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import {
  downloadName,
  type HttpIdentifier,
  httpCacheKey,
  parseHttpIdentifier,
  requestDigest,
  unescapePercent,
} from "./http-identifier.ts";

const keys = {
  request: "http.request",
  etag: "etag",
  checksum: "http.checksum",
  modified: "http.modtime",
} as const;

/** What {@linkcode HttpSource} works with. */
export interface HttpSourceOptions {
  readonly cache: CacheManager;
  readonly sessions: SessionManager;
  /** What servers are told about who asks. */
  readonly userAgent: string;
}

/** Files from web servers (`http://`, `https://`). What a server says is unchanged (by ETag) is not fetched again. */
export class HttpSource implements Source, AsyncDisposable {
  readonly schemes: readonly string[] = ["http", "https"];
  readonly #services: HttpServices;

  constructor(options: HttpSourceOptions) {
    this.#services = { ...options, dispatcher: new EnvHttpProxyAgent({ bodyTimeout: 300_000 }) };
  }

  resolve(request: SourceRequest): SourceInstance {
    return new HttpInstance(parseHttpIdentifier(request), this.#services);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#services.dispatcher.destroy();
  }
}

interface HttpServices extends HttpSourceOptions {
  readonly dispatcher: EnvHttpProxyAgent;
}

/** What a URL gave. */
interface Download {
  readonly digest: Digest;
  readonly fileName: string;
  readonly lastModified: string | undefined;
  /** The record that has the file; undefined if only its digest is known. */
  readonly record: string | undefined;
}

/** Headers and bytes of an answer. */
interface Answer {
  header(name: string): string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

class HttpInstance implements SourceInstance {
  readonly #id: HttpIdentifier;
  readonly #services: HttpServices;
  #download: Download | undefined;

  constructor(id: HttpIdentifier, services: HttpServices) {
    this.#id = id;
    this.#services = services;
  }

  async cacheKey(_index: number, context: SourceContext): Promise<SourceCacheKey> {
    this.#download ??= await this.#find(context);
    return { key: httpCacheKey(this.#id, this.#download), pin: this.#download.digest, done: true };
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef> {
    const found = this.#download?.record;
    const ref = found === undefined ? undefined : await this.#findRef(found, context.signal);
    if (ref !== undefined) return ref;
    const answer = await this.#get(context, {});
    const saved = await this.#save(answer, context);
    const expected = this.#download?.digest ?? this.#id.checksum;
    if (expected !== undefined && expected !== saved.digest) {
      await saved.ref[Symbol.asyncDispose]();
      throw this.#mismatch(saved.digest, expected);
    }
    return saved.ref;
  }

  #mismatch(found: Digest, expected: Digest): BuildError {
    return new BuildError("data_loss", `digest mismatch ${found}: ${expected}`);
  }

  async #find(context: SourceContext): Promise<Download> {
    const { checksum } = this.#id;
    if (checksum !== undefined)
      return {
        digest: checksum,
        fileName: downloadName(this.#id, undefined),
        lastModified: undefined,
        record: undefined,
      };
    const known = await this.#knownDownloads(context.signal);
    const unchanged = await this.#revalidate(known, context);
    if (unchanged !== undefined) return unchanged;
    const answer = await this.#get(context, {});
    const { ref, ...download } = await this.#save(answer, context);
    await using _held = ref;
    return { ...download, record: ref.id };
  }

  /** Earlier downloads of this request, by ETag. */
  async #knownDownloads(signal: AbortSignal): Promise<Map<string, string>> {
    const { cache } = this.#services;
    const known = new Map<string, string>();
    for (const id of cache.search(keys.request, requestDigest(this.#id))) {
      const etag = cache.metadata(id).get(keys.etag);
      await using ref = etag === undefined ? undefined : await this.#findRef(id, signal);
      if (etag !== undefined && ref !== undefined) known.set(etag, id);
    }
    return known;
  }

  async #revalidate(known: ReadonlyMap<string, string>, context: SourceContext): Promise<Download | undefined> {
    if (known.size === 0) return undefined;
    const etags = [...known.keys()];
    // Some servers answer If-None-Match wrongly for GET: ask with HEAD, and compare the ETag ourselves.
    const response = await this.#tryHead(context, { "If-None-Match": etags.join(", ") });
    if (response === undefined || (response.status !== 200 && response.status !== 304)) return undefined;
    const stated = response.headers.get("etag");
    const etag = stated === null && response.status === 304 && etags.length === 1 ? etags[0] : plainEtag(stated ?? "");
    const record = etag === undefined ? undefined : known.get(etag);
    if (record === undefined) return undefined;
    const metadata = this.#services.cache.metadata(record);
    const digest = metadata.get(keys.checksum) ?? "";
    if (!isDigest(digest)) return undefined;
    const fileName = downloadName(this.#id, response.headers.get("content-disposition") ?? undefined);
    return { digest, fileName, lastModified: metadata.get(keys.modified), record };
  }

  async #tryHead(context: SourceContext, headers: Readonly<Record<string, string>>): Promise<Response | undefined> {
    try {
      return await this.#request("HEAD", headers, context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof BuildError && error.code === "unavailable") return undefined;
      throw error;
    }
  }

  async #findRef(id: string, signal: AbortSignal): Promise<ImmutableRef | undefined> {
    try {
      return await this.#services.cache.get(id, { signal });
    } catch (error) {
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  async #get(context: SourceContext, headers: Readonly<Record<string, string>>): Promise<Answer> {
    if (new URL(this.#id.url).host === "buildkit-session") return await this.#pullFromSession(context);
    const response = await this.#request("GET", headers, context);
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new BuildError("unavailable", `invalid response status ${response.status}`);
    }
    return { header: (name) => response.headers.get(name) ?? undefined, body: response.body };
  }

  async #request(
    method: "GET" | "HEAD",
    headers: Readonly<Record<string, string>>,
    context: SourceContext,
  ): Promise<Response> {
    const own = Object.fromEntries(this.#id.headers.map(({ name, value }) => [name, value]));
    const authorization = await this.#authorization(context);
    const all = {
      "User-Agent": this.#services.userAgent,
      ...own,
      ...headers,
      ...(authorization !== undefined && { Authorization: authorization }),
    };
    const { signal } = context;
    const url = new URL(this.#id.url);
    if ((url.username !== "" || url.password !== "") && authorization === undefined)
      Object.assign(all, { Authorization: basicAuthorization(url) });
    url.username = "";
    url.password = "";
    try {
      return await fetch(url, { method, headers: all, signal, dispatcher: this.#services.dispatcher });
    } catch (error) {
      signal.throwIfAborted();
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new BuildError("unavailable", `${method} ${url.href}: ${BuildError.from(cause).message}`, { cause: error });
    }
  }

  /** Secrets that the clients may have for the host; only one that was asked for by name must exist. */
  async #authorization(context: SourceContext): Promise<string | undefined> {
    const { authHeaderSecret } = this.#id;
    if (authHeaderSecret !== "") return await this.#secret(authHeaderSecret, context);
    const { hostname } = new URL(this.#id.url);
    const token = await this.#findSecret(`HTTP_AUTH_TOKEN_${hostname}`, context);
    if (token !== undefined) return `Bearer ${token}`;
    return await this.#findSecret(`HTTP_AUTH_HEADER_${hostname}`, context);
  }

  async #findSecret(id: string, context: SourceContext): Promise<string | undefined> {
    try {
      return await this.#secret(id, context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof BuildError) return undefined;
      throw error;
    }
  }

  async #secret(id: string, context: SourceContext): Promise<string> {
    const { signal } = context;
    return await withAnySession(this.#services.sessions, context.sessions(), {
      signal,
      work: async (caller) => Buffer.from(await getSecret(caller, id, { signal })).toString("utf8"),
    });
  }

  /** A file that a client offers by a URL of its own, such as a Dockerfile from its standard input. */
  async #pullFromSession(context: SourceContext): Promise<Answer> {
    const { signal } = context;
    const { pathname, host } = new URL(this.#id.url);
    return await withAnySession(this.#services.sessions, context.sessions(), {
      signal,
      work: async (caller) => {
        const method = "/moby.upload.v1.Upload/Pull";
        if (!caller.supports(method))
          throw new BuildError("unimplemented", `method ${method} not supported by the client`);
        const stream = caller.openStream(method, { urlpath: pathname, urlhost: host });
        const outcome = streamOutcome(stream, { signal });
        outcome.catch(() => undefined);
        const bytes = new GrpcByteStream(stream);
        return { header: () => undefined, body: untilOutcome(bytes, outcome) };
      },
    });
  }

  async #save(
    answer: Answer,
    context: SourceContext,
  ): Promise<Omit<Download, "record"> & { readonly ref: ImmutableRef }> {
    const { signal } = context;
    const description = `http url ${redact(this.#id.url)}`;
    await using target = await this.#services.cache.create(undefined, { signal, description });
    const fileName = downloadName(this.#id, answer.header("content-disposition"));
    const lastModified = answer.header("last-modified");
    let digest: Digest;
    {
      await using held = await target.mount({ signal });
      const path = join(getPlainDirectory(held), fileName);
      digest = await this.#write(path, { answer, lastModified });
    }
    const etag = plainEtag(answer.header("etag") ?? "");
    if (etag !== "") {
      target.metadata.set(keys.etag, etag);
      target.metadata.set(keys.checksum, digest);
      target.metadata.set(keys.request, requestDigest(this.#id), { index: true });
      if (lastModified !== undefined) target.metadata.set(keys.modified, lastModified);
    }
    return { digest, fileName, lastModified, ref: await target.commit() };
  }

  async #write(
    path: string,
    download: { readonly answer: Answer; readonly lastModified: string | undefined },
  ): Promise<Digest> {
    const hash = createHash("sha256");
    await using file = await open(path, "wx", 0o600);
    for await (const chunk of download.answer.body) {
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    const { mode, uid, gid } = this.#id;
    await file.chown(uid, gid);
    // After chown, which clears the bits for set-user-id.
    await file.chmod(mode === 0 ? 0o600 : mode);
    const modified = Date.parse(download.lastModified ?? "");
    const seconds = Number.isNaN(modified) ? 0 : modified / 1000;
    await file.utimes(seconds, seconds);
    return `sha256:${hash.digest("hex")}` as Digest;
  }
}

async function* untilOutcome(
  bytes: AsyncIterable<Uint8Array>,
  outcome: Promise<void>,
): AsyncGenerator<Uint8Array, void> {
  yield* bytes;
  await outcome;
}

/** Without the mark for weak ones. */
function plainEtag(etag: string): string {
  return etag.replace(/^W\//, "");
}

function basicAuthorization(url: URL): string {
  const user = `${unescapePercent(url.username)}:${unescapePercent(url.password)}`;
  return `Basic ${Buffer.from(user).toString("base64")}`;
}

/** Without user and password. */
function redact(text: string): string {
  const url = new URL(text);
  url.username = "";
  url.password = "";
  return url.href;
}
