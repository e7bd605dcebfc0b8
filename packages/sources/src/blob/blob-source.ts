import type { CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";
import { digestHex, digestOf, formatReference } from "@buildkit-ts/oci";
import { safeFileName } from "../http/http-identifier.ts";
import { getPlainDirectory } from "../plain-directory.ts";
import { type SavedFileMode, saveFile } from "../save-file.ts";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import { parseIntegerAttribute } from "../source-attributes.ts";
import { type BlobAddress, type BlobOrigin, blobSchemes, parseBlobReference, parseBlobScheme } from "./blob-origin.ts";

/** What {@linkcode BlobSource} works with. */
export interface BlobSourceOptions {
  readonly cache: CacheManager;
  readonly blobs: BlobOrigin;
}

/** Single blobs as files (`docker-image+blob://name@digest`, `oci-layout+blob://name@digest`). */
export class BlobSource implements Source {
  readonly schemes: readonly string[] = blobSchemes;
  readonly #options: BlobSourceOptions;

  constructor(options: BlobSourceOptions) {
    this.#options = options;
  }

  resolve(request: SourceRequest): SourceInstance {
    return new BlobInstance(parseBlobRequest(request), this.#options);
  }
}

interface BlobRequest extends SavedFileMode {
  readonly address: BlobAddress;
  /** Empty for the digest. */
  readonly fileName: string;
}

function parseBlobRequest({ identifier, attributes }: SourceRequest): BlobRequest {
  const parsed = parseBlobScheme(identifier);
  if (parsed === undefined)
    throw new BuildError("invalid_argument", `Cannot use source "${identifier.slice(0, 200)}": it is no blob`);
  const isLayout = parsed.scheme === "oci-layout+blob";
  const store = isLayout ? (attributes["oci.store"] ?? "") : "";
  if (isLayout && store === "") throw new BuildError("invalid_argument", "oci-layout blob source requires store id");
  const session = isLayout ? (attributes["oci.session"] ?? "") : "";
  const fileName = attributes["http.filename"] ?? "";
  return {
    address: {
      scheme: parsed.scheme,
      ...parseBlobReference(parsed.rest),
      session: session === "" ? undefined : session,
      store,
    },
    fileName: fileName === "" ? "" : safeFileName(fileName),
    mode: parseIntegerAttribute("http.perm", attributes["http.perm"]) & 0o7777,
    uid: parseIntegerAttribute("http.uid", attributes["http.uid"]),
    gid: parseIntegerAttribute("http.gid", attributes["http.gid"]),
  };
}

class BlobInstance implements SourceInstance {
  readonly #request: BlobRequest;
  readonly #options: BlobSourceOptions;

  constructor(request: BlobRequest, options: BlobSourceOptions) {
    this.#request = request;
    this.#options = options;
  }

  /** In BuildKit's bytes (`source/containerblob/pull.go`). */
  cacheKey(): Promise<SourceCacheKey> {
    const { address, fileName, mode, uid, gid } = this.#request;
    const { digest } = address;
    const json = formatGoJson({ Digest: digest, Filename: fileName, Perm: mode, UID: uid, GID: gid });
    return Promise.resolve({ key: digestOf(json), pin: digest, done: true });
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef> {
    const { address, fileName } = this.#request;
    const { signal } = context;
    const description = `blob ${formatReference(address.reference)}`;
    await using target = await this.#options.cache.create(undefined, { signal, description });
    {
      await using held = await target.mount({ signal });
      const name = fileName === "" ? digestHex(address.digest) : fileName;
      const bytes = await this.#options.blobs.open(address, context);
      const digest = await saveFile({ directory: getPlainDirectory(held), name, bytes }, this.#request);
      if (digest !== address.digest)
        throw new BuildError("data_loss", `Cannot use blob "${address.digest}": its bytes have the digest ${digest}`);
    }
    return await target.commit();
  }
}
