import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, formatReference, type Reference } from "@buildkit-ts/oci";
import { SessionBlobs, type SessionManager } from "@buildkit-ts/session";
import { withAnySession } from "../any-session.ts";
import type { ImageOrigin, OriginAccess } from "./image-origin.ts";
import { detectManifestType } from "./manifest-type.ts";

/** As large as registries' manifests may be. */
const maxManifestBytes = 4 << 20;

/** An OCI layout that a client offers. */
export interface LayoutName {
  /** The session that has it; undefined for any of the build's. */
  readonly session: string | undefined;
  /** What the client calls it. */
  readonly store: string;
}

/** One OCI layout of a client. Its images are named by digest only. */
export class LayoutOrigin implements ImageOrigin {
  readonly #sessions: SessionManager;
  readonly #name: LayoutName;

  constructor(options: { readonly sessions: SessionManager; readonly name: LayoutName }) {
    this.#sessions = options.sessions;
    this.#name = options.name;
  }

  async resolve(reference: Reference, access: OriginAccess): Promise<Descriptor> {
    const { digest } = reference;
    const text = formatReference(reference);
    if (digest === undefined) throw new BuildError("invalid_argument", `reference "${text}" must have digest`);
    const { signal } = access;
    return await this.#withBlobs(access, signal, async (blobs) => {
      const found = await blobs.find(digest, { signal });
      // Not the reference's words: its name is one that looks like a registry's, where nobody has asked.
      if (found === undefined)
        throw new BuildError(
          "not_found",
          `content ${digest} of the client's OCI layout "${this.#name.store}": not found`,
        );
      const { size } = found;
      if (size > maxManifestBytes)
        throw new BuildError(
          "invalid_argument",
          `Cannot read manifest "${text}": larger than ${maxManifestBytes} bytes`,
        );
      // A layout's blobs tell no media type.
      const bytes = await collect(await blobs.open({ digest, size }, { signal }), size);
      return { mediaType: detectManifestType(bytes), digest, size };
    });
  }

  provider(_reference: Reference, access: Omit<OriginAccess, "signal">): ContentProvider {
    return {
      open: async (descriptor, options) =>
        await this.#withBlobs(access, options.signal, async (blobs) => await blobs.open(descriptor, options)),
    };
  }

  /** The named session may be over when another build needs a layer: then a client of that build may have the layout. */
  async #withBlobs<T>(
    access: Omit<OriginAccess, "signal">,
    signal: AbortSignal,
    work: (blobs: SessionBlobs) => Promise<T>,
  ): Promise<T> {
    const { session, store } = this.#name;
    const ids = new Set([...(session === undefined ? [] : [session]), ...access.sessions()]);
    return await withAnySession(this.#sessions, [...ids], {
      signal,
      work: async (caller) => await work(new SessionBlobs(caller, `oci:${store}`)),
    });
  }
}

/** All bytes of a blob that says how large it is. @throws {BuildError} `data_loss`, if it is larger. */
async function collect(chunks: AsyncIterable<Uint8Array>, size: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > size) throw new BuildError("data_loss", `Cannot read manifest: larger than ${size} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}
