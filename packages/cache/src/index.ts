export type { ContentEntry } from "./content-digest/content-entry.ts";
export { type FieldLookup, type Filter, parseFilters } from "./filter/parse-filters.ts";
export { SafeRegExp } from "./filter/safe-reg-exp.ts";
export { LocalCacheManager, type LocalCacheOptions } from "./local-cache-manager.ts";
export { GarbageCollector } from "./prune/garbage-collector.ts";
export type {
  BlobLayer,
  CacheManager,
  ChecksumOptions,
  CompressionOptions,
  HeldMounts,
  ImmutableRef,
  LazyProvider,
  Metadata,
  MutableRef,
  NewRefOptions,
  PruneOptions,
  PruneVerdict,
  RecordType,
  RefOptions,
  Remote,
  RemoteLayer,
  UsageRecord,
} from "./refs.ts";
