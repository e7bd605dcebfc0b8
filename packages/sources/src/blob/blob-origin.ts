import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, formatReference, isDigest, parseReference, type Reference } from "@buildkit-ts/oci";
import type { RegistryClient } from "@buildkit-ts/registry";
import { SessionBlobs, SessionCredentials, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import type { SourceContext } from "../source.ts";

/** The schemes of single blobs. */
export const blobSchemes = ["docker-image+blob", "oci-layout+blob"] as const;

/** One blob, and where it lies: in a registry, or in a content store that a client offers. */
export interface BlobAddress {
  readonly scheme: (typeof blobSchemes)[number];
  readonly reference: Reference;
  readonly digest: Digest;
  /** For clients' stores: the session that has it; undefined for any of the build's. */
  readonly session: string | undefined;
  readonly store: string;
}

/** Reads single blobs from registries and from clients' content stores. */
export class BlobOrigin {
  readonly #registry: RegistryClient;
  readonly #sessions: SessionManager;

  constructor(options: { readonly registry: RegistryClient; readonly sessions: SessionManager }) {
    this.#registry = options.registry;
    this.#sessions = options.sessions;
  }

  /** The blob's bytes, which the caller verifies. @throws {BuildError} `not_found`. */
  async open(address: BlobAddress, context: SourceContext): Promise<AsyncIterable<Uint8Array>> {
    const { signal } = context;
    const { reference, digest } = address;
    if (address.scheme === "docker-image+blob") {
      const credentials = new SessionCredentials({ sessions: this.#sessions, ids: () => context.sessions() });
      // Nobody says how large it is; its digest tells whether all came.
      const descriptor = { mediaType: "application/octet-stream", digest, size: 0 };
      return await this.#registry.openBlob(reference, descriptor, { credentials, signal });
    }
    const ids = new Set([...(address.session === undefined ? [] : [address.session]), ...context.sessions()]);
    return await withAnySession(this.#sessions, [...ids], {
      signal,
      work: async (caller) => {
        const blobs = new SessionBlobs(caller, `oci:${address.store}`);
        const found = await blobs.find(digest, { signal });
        if (found === undefined) throw new BuildError("not_found", `${formatReference(reference)}: not found`);
        return await blobs.open(found, { signal });
      },
    });
  }
}

/** The scheme and the rest of `scheme://rest`, for the schemes of blobs. */
export function parseBlobScheme(
  text: string,
): { readonly scheme: BlobAddress["scheme"]; readonly rest: string } | undefined {
  const scheme = blobSchemes.find((known) => text.startsWith(`${known}://`));
  return scheme === undefined ? undefined : { scheme, rest: text.slice(scheme.length + 3) };
}

/** @throws {BuildError} `invalid_argument`, for a reference without digest. */
export function parseBlobReference(text: string): { readonly reference: Reference; readonly digest: Digest } {
  const reference = parseReference(text);
  const { digest } = reference;
  if (digest === undefined || !isDigest(digest))
    throw new BuildError("invalid_argument", `invalid reference digest: "${text.slice(0, 200)}" must have a digest`);
  if (!digest.startsWith("sha256:"))
    throw new BuildError("invalid_argument", `Cannot read blob "${digest}": only sha256 is supported`);
  return { reference, digest };
}
