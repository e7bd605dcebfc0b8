import type { ContentProvider } from "@buildkit-ts/content";
import { type Descriptor, type Digest, isIndexType, isManifestType, type Reference } from "@buildkit-ts/oci";
import type { RegistryClient } from "@buildkit-ts/registry";
import { SessionCredentials, type SessionManager } from "@buildkit-ts/session";
import type { ImageOrigin, OriginAccess } from "./image-origin.ts";
import { parseIndex } from "./parse-manifest.ts";

/** Registries, with the credentials of the clients that ask. */
export class RegistryOrigin implements ImageOrigin {
  readonly #registry: RegistryClient;
  readonly #sessions: SessionManager;

  constructor(options: { readonly registry: RegistryClient; readonly sessions: SessionManager }) {
    this.#registry = options.registry;
    this.#sessions = options.sessions;
  }

  async resolve(reference: Reference, access: OriginAccess): Promise<Descriptor> {
    return await this.#registry.resolve(reference, { ...this.#settings(access), signal: access.signal });
  }

  provider(reference: Reference, access: Omit<OriginAccess, "signal">): ContentProvider {
    const settings = this.#settings(access);
    return {
      open: async (descriptor, { signal, offset = 0 }) => {
        const options = { ...settings, signal };
        // Registries serve manifests at a place of their own.
        if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType))
          return await this.#registry.openBlob(reference, descriptor, { ...options, offset });
        const { bytes } = await this.#registry.fetchManifest(reference, descriptor, options);
        return once(bytes.subarray(offset));
      },
    };
  }

  async referrers(reference: Reference, digest: Digest, access: OriginAccess): Promise<readonly Descriptor[]> {
    const options = { ...this.#settings(access), signal: access.signal };
    return (await this.#registry.fetchReferrers(reference, digest, options)).flatMap(parseIndex);
  }

  #settings(access: Omit<OriginAccess, "signal">): { readonly credentials: SessionCredentials } {
    return { credentials: new SessionCredentials({ sessions: this.#sessions, ids: () => access.sessions() }) };
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
