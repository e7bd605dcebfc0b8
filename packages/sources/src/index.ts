export { BlobOrigin } from "./blob/blob-origin.ts";
export { BlobSource, type BlobSourceOptions } from "./blob/blob-source.ts";
export { BuildResolves, buildResolvesKey } from "./build-resolves.ts";
export { canonicalIdentifier } from "./canonical-identifier.ts";
export { type GitIdentifier, parseGitIdentifier } from "./git/git-identifier.ts";
export { GitSource, type GitSourceOptions } from "./git/git-source.ts";
export { HttpSource, type HttpSourceOptions } from "./http/http-source.ts";
export type { ImageOrigin, OriginAccess } from "./image/image-origin.ts";
export { ImageSource, type ImageSourceOptions } from "./image/image-source.ts";
export { LayoutSource, type LayoutSourceOptions } from "./image/layout-source.ts";
export { RegistryOrigin } from "./image/registry-origin.ts";
export { LocalSource, type LocalSourceOptions } from "./local/local-source.ts";
export {
  compatibilityVersionKey,
  type Source,
  type SourceCacheKey,
  type SourceContext,
  type SourceInstance,
  type SourceRequest,
} from "./source.ts";
export type {
  AttestationChain,
  ChecksumRequest,
  MetadataRequest,
  NamedBlob,
  SourceMetadata,
} from "./source-metadata.ts";
