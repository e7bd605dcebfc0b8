import type { BlobLayer } from "@buildkit-ts/cache";
import type { ContentProvider } from "@buildkit-ts/content";
import { type Descriptor, type DiffId, type Digest, isDigest, mediaTypes } from "@buildkit-ts/oci";
import { type CacheConfig, cacheConfigMediaType, parseCacheConfig } from "../cache-config.ts";
import { isIndex, parseManifest } from "./parse-manifest.ts";
import { readCacheBlob } from "./read-cache-blob.ts";
import { readInlineCaches } from "./read-inline-caches.ts";

/** A cache as it was read: its config, and the layers that the config names. */
export interface ReadCache {
  readonly manifestType: string;
  readonly config: CacheConfig;
  readonly layers: ReadonlyMap<Digest, BlobLayer>;
}

/**
 * Reads a cache manifest, or the inline caches of an image or of all images that an index lists.
 *
 * @throws {BuildError} `invalid_argument`, for what is no cache; `resource_exhausted`, for one that is too large.
 */
export async function readCache(
  root: Descriptor,
  provider: ContentProvider,
  options: { readonly signal: AbortSignal },
): Promise<ReadCache> {
  const bytes = await readCacheBlob(root, provider, options);
  const manifest = parseManifest(bytes);
  const manifestType = manifest.mediaType ?? (isIndex(manifest) ? mediaTypes.ociIndex : mediaTypes.ociManifest);
  const isConfig = ({ mediaType }: Descriptor): boolean => mediaType === cacheConfigMediaType;
  const blobs = isIndex(manifest) ? manifest.manifests : [...manifest.layers, manifest.config];
  const configBlob = blobs.findLast(isConfig);
  if (configBlob === undefined) return { manifestType, ...(await readInlineCaches(manifest, provider, options)) };
  const config = parseCacheConfig(await readCacheBlob(configBlob, provider, options));
  const layers = new Map(
    blobs
      .filter((blob) => !isConfig(blob))
      .flatMap((blob) => {
        const layer = toLayer(blob);
        return layer === undefined ? [] : [[blob.digest, layer] as const];
      }),
  );
  return { manifestType, config, layers };
}

/** A layer by its annotations; undefined for one that does not say its DiffID, and so could not be verified. */
function toLayer(descriptor: Descriptor): BlobLayer | undefined {
  const { annotations = {} } = descriptor;
  const diffId = annotations["containerd.io/uncompressed"];
  if (diffId === undefined || !isDigest(diffId)) return undefined;
  const createdAt = Date.parse(annotations["buildkit/createdat"] ?? "");
  const description = annotations["buildkit/description"];
  return {
    descriptor,
    diffId: diffId as DiffId,
    ...(Number.isFinite(createdAt) && { createdAt }),
    ...(description !== undefined && { description }),
  };
}
