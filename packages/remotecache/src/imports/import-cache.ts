import { withStatus } from "@buildkit-ts/progress";
import type { CacheStore, OpContext } from "@buildkit-ts/solver";
import { ConfigCacheStore } from "../config-cache-store.ts";
import type { CacheOrigin } from "./cache-origin.ts";
import { type ImportServices, LayerLoader } from "./layer-loader.ts";
import { readCache } from "./read-cache.ts";

/**
 * Reads a cache's manifest and config. Layers are fetched when somebody needs them.
 *
 * @throws {BuildError} `not_found`, where there is no cache; `invalid_argument`, for what is none.
 */
export async function importCache(
  origin: CacheOrigin,
  services: ImportServices,
  context: OpContext,
): Promise<CacheStore> {
  const root = await origin.resolve(context);
  const provider = origin.provider(() => context.sessions());
  const { manifestType, config, layers } = await readCache(root, provider, context);
  await withStatus(context.progress, `inferred cache manifest type: ${manifestType}`, async () => {});
  // Keys remember their ids by the store's: those of another version of the cache must not be taken for this one's.
  return new ConfigCacheStore(`${origin.id} ${root.digest}`, config, new LayerLoader({ origin, services, layers }));
}
