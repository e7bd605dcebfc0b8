import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, type Digest, isDigest } from "@buildkit-ts/oci";
import { SessionBlobs, type SessionManager } from "@buildkit-ts/session";
import type { OpContext } from "@buildkit-ts/solver";
import type { CacheAttributes } from "../cache-attributes.ts";
import type { CacheOrigin } from "./cache-origin.ts";

/** A cache in a directory of the client that asked for the build. */
export class ClientCacheOrigin implements CacheOrigin {
  readonly id: string;
  readonly isShortLived = true;
  readonly blobSource = {};
  readonly #digest: Digest;
  readonly #storeId: string;
  readonly #sessions: SessionManager;
  readonly #session: string;

  /** @throws {BuildError} `invalid_argument`, without `src` or `digest`. */
  constructor(
    attributes: CacheAttributes,
    options: { readonly sessions: SessionManager /** The client's. */; readonly session: string },
  ) {
    const { digest, src } = attributes as { readonly digest?: string; readonly src?: string };
    if (digest === undefined || digest === "")
      throw new BuildError("invalid_argument", "local cache importer requires explicit digest");
    if (!isDigest(digest))
      throw new BuildError("invalid_argument", `invalid digest "${digest.slice(0, 100)}" of local cache importer`);
    if (src === undefined || src === "") throw new BuildError("invalid_argument", "local cache importer requires src");
    if (options.session === "")
      throw new BuildError("invalid_argument", "local cache exporter/importer requires session");
    this.#digest = digest;
    this.#storeId = `local:${src}`;
    this.#sessions = options.sessions;
    this.#session = options.session;
    this.id = `local ${options.session} ${src}`;
  }

  async resolve({ signal }: OpContext): Promise<Descriptor> {
    const blob = await (await this.#blobs(signal)).find(this.#digest, { signal });
    if (blob === undefined) throw new BuildError("not_found", `content ${this.#digest}: not found`);
    return { mediaType: "", digest: this.#digest, size: blob.size };
  }

  provider(): ContentProvider {
    return {
      open: async (descriptor, options) => await (await this.#blobs(options.signal)).open(descriptor, options),
    };
  }

  async #blobs(signal: AbortSignal): Promise<SessionBlobs> {
    return new SessionBlobs(await this.#sessions.get(this.#session, { signal }), this.#storeId);
  }
}
