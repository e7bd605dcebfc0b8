import type { BlobLayer, CacheManager, ImmutableRef } from "@buildkit-ts/cache";
import { type ContentProvider, type ContentStore, copyBlob } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import type { OpContext, Result } from "@buildkit-ts/solver";
import type { RemoteResultLoader } from "../config-cache-store.ts";
import type { CacheOrigin } from "./cache-origin.ts";

/** Where the layers of an imported cache are. */
export type LayerOrigin = Pick<CacheOrigin, "isShortLived" | "blobSource" | "provider">;

/** What imported caches need of the worker that uses their results. */
export interface ImportServices {
  readonly cache: CacheManager;
  readonly content: ContentStore;
  /** Makes a result of a tree; the hold becomes the result's. */
  readonly resultOf: (ref: ImmutableRef) => Result;
}

/** Makes refs of an imported cache's layers. */
export class LayerLoader implements RemoteResultLoader {
  readonly #origin: LayerOrigin;
  readonly #services: ImportServices;
  readonly #layers: ReadonlyMap<Digest, BlobLayer>;

  constructor(options: {
    readonly origin: LayerOrigin;
    readonly services: ImportServices;
    readonly layers: ReadonlyMap<Digest, BlobLayer>;
  }) {
    this.#origin = options.origin;
    this.#services = options.services;
    this.#layers = options.layers;
  }

  async load(digests: readonly Digest[], context: OpContext): Promise<Result> {
    const { cache, content, resultOf } = this.#services;
    const { signal, progress } = context;
    const layers = digests.flatMap((digest) => this.#layerOf(digest) ?? []);
    if (layers.length < digests.length)
      throw new BuildError("not_found", "Cannot load result: the cache does not describe all of its layers");
    const origin = this.#origin;
    const lazy = (session: unknown): ContentProvider => origin.provider(() => toSessionIds(session));
    const options = { signal, progress, session: context.sessions(), description: "imported from cache" };
    const ref = await cache.getByLayers(layers, lazy, options);
    try {
      if (origin.isShortLived) {
        const provider = origin.provider(() => context.sessions());
        await Promise.all(
          layers.map(async ({ descriptor }) => await copyBlob(provider, content, { signal, descriptor })),
        );
      }
      return resultOf(ref);
    } catch (error) {
      await ref[Symbol.asyncDispose]();
      throw error;
    }
  }

  #layerOf(digest: Digest): BlobLayer | undefined {
    const layer = this.#layers.get(digest);
    if (layer === undefined) return undefined;
    const { descriptor } = layer;
    const annotations = { ...descriptor.annotations, ...this.#origin.blobSource };
    return { ...layer, descriptor: { ...descriptor, annotations } };
  }

  async exists(digests: readonly Digest[]): Promise<boolean> {
    return await Promise.resolve(digests.every((digest) => this.#layers.has(digest)));
  }
}

function toSessionIds(session: unknown): readonly string[] {
  return Array.isArray(session) ? session.filter((id) => typeof id === "string") : [];
}
