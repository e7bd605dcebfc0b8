import type { ContentProvider } from "@buildkit-ts/content";
import { type Descriptor, formatReference, isIndexType, isManifestType, type Reference } from "@buildkit-ts/oci";
import { blobSource, type RegistryClient, type RegistryRequestOptions } from "@buildkit-ts/registry";
import { SessionCredentials, type SessionManager } from "@buildkit-ts/session";
import type { OpContext } from "@buildkit-ts/solver";
import type { CacheOrigin } from "./cache-origin.ts";

/** What {@linkcode RegistryCacheOrigin} works with. */
export interface RegistryCacheOriginOptions {
  readonly registry: RegistryClient;
  readonly sessions: SessionManager;
  readonly reference: Reference;
  /** Plain HTTP and unverified TLS are allowed. */
  readonly insecure: boolean;
}

/** A cache, or an image with an inline cache, in a registry. */
export class RegistryCacheOrigin implements CacheOrigin {
  readonly id: string;
  readonly blobSource: Readonly<Record<string, string>>;
  readonly isShortLived = false;
  readonly #options: RegistryCacheOriginOptions;

  constructor(options: RegistryCacheOriginOptions) {
    this.blobSource = blobSource(options.reference);
    this.id = `registry ${formatReference(options.reference)}`;
    this.#options = options;
  }

  async resolve(context: OpContext): Promise<Descriptor> {
    const { registry, reference } = this.#options;
    const settings = this.#settings(() => context.sessions());
    return await registry.resolve(reference, { ...settings, signal: context.signal });
  }

  provider(sessions: () => readonly string[]): ContentProvider {
    const { registry, reference } = this.#options;
    const settings = this.#settings(sessions);
    return {
      open: async (descriptor, { signal, offset = 0 }) => {
        // Registries serve manifests at a place of their own.
        if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType))
          return await registry.openBlob(reference, descriptor, { ...settings, signal, offset });
        const { bytes } = await registry.fetchManifest(reference, descriptor, { ...settings, signal });
        return once(bytes.subarray(offset));
      },
    };
  }

  #settings(ids: () => readonly string[]): Omit<RegistryRequestOptions, "signal"> {
    const { sessions, insecure } = this.#options;
    return { credentials: new SessionCredentials({ sessions, ids }), ...(insecure && { insecure }) };
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
