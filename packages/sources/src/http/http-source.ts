import type { CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, isDigest } from "@buildkit-ts/oci";
import { HttpClient } from "@buildkit-ts/registry";
import type { SessionManager } from "@buildkit-ts/session";
import { resolveOnce, waitingBuilds } from "../build-resolves.ts";
import { getPlainDirectory } from "../plain-directory.ts";
import { saveFile } from "../save-file.ts";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import type { MetadataRequest, SourceMetadata } from "../source-metadata.ts";
import {
  downloadName,
  type HttpIdentifier,
  httpCacheKey,
  parseHttpIdentifier,
  requestDigest,
} from "./http-identifier.ts";
import { type Answer, askHead, type HttpServices, openFile } from "./http-requests.ts";
import { checkChecksumRequest, digestWithSuffix, verifyFile } from "./verify-file.ts";

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
  readonly #services: InstanceServices;

  constructor({ cache, sessions, userAgent }: HttpSourceOptions) {
    this.#services = { cache, sessions, client: new HttpClient({ userAgent }) };
  }

  resolve(request: SourceRequest): SourceInstance {
    return new HttpInstance(parseHttpIdentifier(request), this.#services);
  }

  async resolveMetadata(
    request: SourceRequest,
    wanted: MetadataRequest,
    context: SourceContext,
  ): Promise<SourceMetadata> {
    return await new HttpInstance(parseHttpIdentifier(request), this.#services).metadata(wanted, context);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#services.client[Symbol.asyncDispose]();
  }
}

interface InstanceServices extends HttpServices {
  readonly cache: CacheManager;
}

/** What a URL gave. */
interface Download {
  readonly digest: Digest;
  readonly fileName: string;
  readonly lastModified: string | undefined;
  /** The record that has the file; undefined if only its digest is known. */
  readonly record: string | undefined;
}

class HttpInstance implements SourceInstance {
  readonly #id: HttpIdentifier;
  readonly #services: InstanceServices;
  #download: Download | undefined;

  constructor(id: HttpIdentifier, services: InstanceServices) {
    this.#id = id;
    this.#services = services;
  }

  async cacheKey(_index: number, context: SourceContext): Promise<SourceCacheKey> {
    const download = await this.#resolve(context);
    return { key: httpCacheKey(this.#id, download), pin: download.digest, done: true };
  }

  async metadata(wanted: MetadataRequest, context: SourceContext): Promise<SourceMetadata> {
    const { checksum } = wanted;
    if (checksum !== undefined) checkChecksumRequest(checksum);
    const { digest, fileName, lastModified } = await this.#resolve(context);
    const time = Date.parse(lastModified ?? "");
    return {
      kind: "http",
      digest,
      fileName,
      lastModified: Number.isNaN(time) ? undefined : time,
      checksum:
        checksum === undefined
          ? undefined
          : await this.#withFile(context, async (path) => await digestWithSuffix(path, checksum)),
    };
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef> {
    const found = this.#download?.record;
    const ref = found === undefined ? undefined : await this.#findRef(found, context.signal);
    if (ref !== undefined) return ref;
    return (await this.#fetch(context)).ref;
  }

  /** What the URL is in this build, with the signature that it must have. */
  async #resolve(context: SourceContext): Promise<Download> {
    if (this.#download !== undefined) return this.#download;
    this.#download = await this.#find(context);
    const { signature } = this.#id;
    if (signature !== undefined) await this.#withFile(context, async (path) => await verifyFile(path, signature));
    return this.#download;
  }

  async #find(context: SourceContext): Promise<Download> {
    const { checksum } = this.#id;
    if (checksum !== undefined) {
      const fileName = downloadName(this.#id, undefined);
      return { digest: checksum, fileName, lastModified: undefined, record: undefined };
    }
    return await resolveOnce(`http ${requestDigest(this.#id)}`, context, async (inner) => {
      const known = await this.#knownDownloads(inner.signal);
      const unchanged = await this.#revalidate(known, inner);
      if (unchanged !== undefined) return unchanged;
      const { ref, ...download } = await this.#fetch(inner);
      await using _held = ref;
      // It was fetched to learn its digest: the step that wants its bytes must not find it collected.
      for (const build of waitingBuilds(inner)) build.keep(ref.clone());
      return { ...download, record: ref.id };
    });
  }

  /** The work on the file itself, which is fetched where only its digest was known. */
  async #withFile<T>(context: SourceContext, work: (path: string) => Promise<T>): Promise<T> {
    const { signal, progress } = context;
    const { ref, fileName } = await this.#openFile(context);
    await using held = ref;
    for (const build of waitingBuilds(context)) build.keep(held.clone());
    await using mounted = await held.mount({ signal, progress });
    return await work(`${getPlainDirectory(mounted)}/${fileName}`);
  }

  async #openFile(context: SourceContext): Promise<{ readonly ref: ImmutableRef; readonly fileName: string }> {
    const known = this.#download;
    const ref = known?.record === undefined ? undefined : await this.#findRef(known.record, context.signal);
    if (known !== undefined && ref !== undefined) return { ref, fileName: known.fileName };
    const fetched = await this.#fetch(context);
    const { digest, fileName, lastModified } = known ?? fetched;
    // The key stays that of what was resolved; only where the bytes are is new.
    this.#download = { digest, fileName, lastModified, record: fetched.ref.id };
    return fetched;
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
    const answer = await askHead(this.#id, this.#services, { context, etags });
    if (answer === undefined || (answer.statusCode !== 200 && answer.statusCode !== 304)) return undefined;
    const stated = answer.header("etag");
    const isOnlyOne = stated === undefined && answer.statusCode === 304 && etags.length === 1;
    const etag = isOnlyOne ? etags[0] : plainEtag(stated ?? "");
    const record = etag === undefined ? undefined : known.get(etag);
    if (record === undefined) return undefined;
    const metadata = this.#services.cache.metadata(record);
    const digest = metadata.get(keys.checksum) ?? "";
    if (!isDigest(digest)) return undefined;
    const fileName = downloadName(this.#id, answer.header("content-disposition"));
    return { digest, fileName, lastModified: metadata.get(keys.modified), record };
  }

  async #findRef(id: string, signal: AbortSignal): Promise<ImmutableRef | undefined> {
    try {
      return await this.#services.cache.get(id, { signal });
    } catch (error) {
      if (error instanceof BuildError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  /** @throws {BuildError} `data_loss`, for another file than was promised. */
  async #fetch(context: SourceContext): Promise<Omit<Download, "record"> & { readonly ref: ImmutableRef }> {
    const answer = await openFile(this.#id, this.#services, context);
    const saved = await this.#save(answer, context);
    const expected = this.#download?.digest ?? this.#id.checksum;
    if (expected === undefined || expected === saved.digest) return saved;
    await saved.ref[Symbol.asyncDispose]();
    throw new BuildError("data_loss", `digest mismatch ${saved.digest}: ${expected}`);
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
    const modified = Date.parse(lastModified ?? "");
    let digest: Digest;
    {
      await using held = await target.mount({ signal });
      const directory = getPlainDirectory(held);
      const file = { directory, name: fileName, bytes: answer.body };
      digest = await saveFile({ ...file, ...(!Number.isNaN(modified) && { modified }) }, this.#id);
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
}

/** Without the mark for weak ones. */
function plainEtag(etag: string): string {
  return etag.replace(/^W\//, "");
}

/** Without user and password. */
function redact(text: string): string {
  const url = new URL(text);
  url.username = "";
  url.password = "";
  return url.href;
}
