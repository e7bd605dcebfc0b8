import type { BlobLayer } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import type { ObjectStore } from "@buildkit-ts/objectstore";
import { type DiffId, digestOf } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { CacheStore, OpContext } from "@buildkit-ts/solver";
import { type CacheConfigLayer, parseCacheConfig } from "../cache-config.ts";
import { ConfigCacheStore } from "../config-cache-store.ts";
import { joinConfigs } from "./join-configs.ts";
import { type ImportServices, LayerLoader } from "./layer-loader.ts";

/**
 * Reads the caches of an object store as one. Layers are fetched when somebody needs them; a store that nobody has
 * written to yet is an empty cache.
 *
 * @throws {BuildError} `invalid_argument`, for what is no cache; what the store throws.
 */
export async function importCacheFromStore(
  store: ObjectStore,
  services: ImportServices,
  context: OpContext,
): Promise<CacheStore> {
  const indexes = await store.readIndexes({ signal: context.signal });
  const config = joinConfigs(indexes.map(parseCacheConfig));
  const layers = new Map(config.layers.map((layer) => [layer.blob, toLayer(layer)]));
  await withStatus(context.progress, `found ${layers.size} layers in cache`, async () => {});
  const origin = { isShortLived: false, blobSource: {}, provider: () => store };
  // Keys remember their ids by the store's: those of another version of the cache must not be taken for this one's.
  const id = `${store.id} ${indexes.map((bytes) => digestOf(bytes)).join(" ")}`;
  return new ConfigCacheStore(id, config, new LayerLoader({ origin, services, layers }));
}

function toLayer({ blob, annotations }: CacheConfigLayer): BlobLayer {
  if (annotations === undefined) throw new BuildError("invalid_argument", "cache layer with missing annotations");
  const { mediaType = "", diffID = "", size = 0, createdAt = "" } = annotations;
  if (diffID === "") throw new BuildError("invalid_argument", "cache layer with missing diffid");
  const made = Date.parse(createdAt);
  return {
    descriptor: { mediaType, digest: blob, size },
    diffId: diffID as DiffId,
    // Go's zero time stands for none.
    ...(Number.isFinite(made) && made > 0 && { createdAt: made }),
  };
}
