export { type CacheCheck, type CheckedCache, checkCache } from "./check/check-cache.ts";
export type { DigestChanges } from "./content-digest/change-digests.ts";
export type { ContentEntry } from "./content-digest/content-entry.ts";
export { type ContentListing, decodeDirectory, type ListedEntry } from "./content-digest/content-listing.ts";
export type { FileQuestion } from "./content-digest/list-content.ts";
export { type FieldLookup, type Filter, parseFilters } from "./filter/parse-filters.ts";
export { SafeRegExp } from "./filter/safe-reg-exp.ts";
export { type KnownDigests, LocalCacheManager, type LocalCacheOptions } from "./local-cache-manager.ts";
export { GarbageCollector } from "./prune/garbage-collector.ts";
export type {
  BlobLayer,
  CacheManager,
  ChecksumOptions,
  CommitOptions,
  CompressionOptions,
  ContentQuery,
  HeldMounts,
  ImmutableRef,
  LayerDirectory,
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
