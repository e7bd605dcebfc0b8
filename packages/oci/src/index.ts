export {
  type Compression,
  compressionOfMediaType,
  type Descriptor,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  mediaTypes,
  stargzAnnotations,
} from "./descriptor.ts";
export {
  type ChainId,
  chainIds,
  type DiffId,
  type Digest,
  digestHex,
  digestOf,
  isDigest,
  parseDigest,
} from "./digest.ts";
export type { HealthConfig, HistoryEntry, ImageConfig, RunConfig } from "./image-config.ts";
export {
  formatPlatform,
  formatPlatformAll,
  hostPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
  platformDistance,
} from "./platform.ts";
export { formatFamiliar, formatReference, parseReference, type Reference, withDefaultTag } from "./reference.ts";
