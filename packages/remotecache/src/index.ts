export {
  type CacheAttributes,
  type CacheExportScope,
  type CacheFormat,
  parseCacheFormat,
  parseCacheReference,
  parseExportScope,
  parseInsecure,
} from "./cache-attributes.ts";
export { CacheChains, type ChainRecord, type Remote } from "./cache-chains.ts";
export {
  type CacheConfig,
  type CacheConfigInput,
  type CacheConfigLayer,
  type CacheConfigRecord,
  cacheConfigMediaType,
  encodeCacheConfig,
  parseCacheConfig,
} from "./cache-config.ts";
export { ConfigCacheStore, type RemoteResultLoader } from "./config-cache-store.ts";
export type { CacheTarget } from "./exports/cache-target.ts";
export { ClientCacheTarget } from "./exports/client-target.ts";
export type { RefOfResult } from "./exports/collect-chains.ts";
export { type CacheExportRequest, exportCache } from "./exports/export-cache.ts";
export { exportCacheToStore, type StoreExportRequest } from "./exports/export-cache-to-store.ts";
export { encodeInlineCache, makeInlineCache } from "./exports/inline-cache.ts";
export { RegistryCacheTarget } from "./exports/registry-target.ts";
export type { CacheOrigin } from "./imports/cache-origin.ts";
export { ClientCacheOrigin } from "./imports/client-origin.ts";
export { importCache } from "./imports/import-cache.ts";
export { importCacheFromStore } from "./imports/import-cache-from-store.ts";
export type { ImportServices } from "./imports/layer-loader.ts";
export { type ReadCache, readCache } from "./imports/read-cache.ts";
export { RegistryCacheOrigin, type RegistryCacheOriginOptions } from "./imports/registry-origin.ts";
export { normalizeConfig } from "./normalize-config.ts";
