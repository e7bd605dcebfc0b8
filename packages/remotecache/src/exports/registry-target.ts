import type { Descriptor, Reference } from "@buildkit-ts/oci";
import { blobRepositories, type RegistryClient, type RegistryRequestOptions } from "@buildkit-ts/registry";
import type { CacheTarget, LayerSource } from "./cache-target.ts";

/** A repository of a registry; the manifest gets the reference's tag. */
export class RegistryCacheTarget implements CacheTarget {
  readonly #registry: RegistryClient;
  readonly #reference: Reference;
  readonly #settings: Omit<RegistryRequestOptions, "signal">;

  constructor(registry: RegistryClient, reference: Reference, settings: Omit<RegistryRequestOptions, "signal">) {
    this.#registry = registry;
    this.#reference = reference;
    this.#settings = settings;
  }

  async writeLayer(
    descriptor: Descriptor,
    from: LayerSource,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const mountFrom = blobRepositories([from.known], this.#reference);
    const blob = { descriptor, source: from.provider, mountFrom };
    await this.#registry.pushBlob(this.#reference, blob, { ...this.#settings, ...options });
  }

  async writeConfig(
    descriptor: Descriptor,
    bytes: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const provider = { open: async () => await Promise.resolve(once(bytes)) };
    await this.writeLayer(descriptor, { provider, known: {} }, options);
  }

  async writeManifest(
    descriptor: Descriptor,
    bytes: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#registry.pushManifest(this.#reference, { descriptor, bytes }, { ...this.#settings, ...options });
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
