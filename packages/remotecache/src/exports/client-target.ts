import type { Descriptor } from "@buildkit-ts/oci";
import type { SessionBlobs } from "@buildkit-ts/session";
import type { CacheTarget, LayerSource } from "./cache-target.ts";

/** A directory of a client, who writes its index when it is told the manifest. */
export class ClientCacheTarget implements CacheTarget {
  readonly #blobs: SessionBlobs;

  constructor(blobs: SessionBlobs) {
    this.#blobs = blobs;
  }

  async writeLayer(
    descriptor: Descriptor,
    from: LayerSource,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#blobs.write(descriptor, lazily(from, descriptor, options), options);
  }

  async writeConfig(
    descriptor: Descriptor,
    bytes: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#blobs.write(descriptor, once(bytes), options);
  }

  async writeManifest(
    descriptor: Descriptor,
    bytes: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    await this.#blobs.write(descriptor, once(bytes), options);
  }
}

/** Opened only if somebody reads: the client may have the blob. */
async function* lazily(
  from: LayerSource,
  descriptor: Descriptor,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  yield* await from.provider.open(descriptor, options);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
