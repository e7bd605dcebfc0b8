export { CacheChains, type ChainRecord, type Remote } from "./cache-chains.ts";
export {
  type CacheConfig,
  type CacheConfigInput,
  type CacheConfigLayer,
  type CacheConfigRecord,
  cacheConfigMediaType,
  encodeCacheConfig,
  formatTime,
  parseCacheConfig,
} from "./cache-config.ts";
export { ConfigCacheStore, type RemoteResultLoader } from "./config-cache-store.ts";
export { normalizeConfig } from "./normalize-config.ts";
