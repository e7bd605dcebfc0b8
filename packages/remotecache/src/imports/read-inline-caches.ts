import type { BlobLayer } from "@buildkit-ts/cache";
import type { ContentProvider } from "@buildkit-ts/content";
import { type Descriptor, type DiffId, type Digest, type Index, isDigest, type Manifest } from "@buildkit-ts/oci";
import { type CacheConfig, parseCacheConfig } from "../cache-config.ts";
import { joinConfigs } from "./join-configs.ts";
import { isIndex, parseJson, parseManifest } from "./parse-manifest.ts";
import { readCacheBlob } from "./read-cache-blob.ts";

/** Images of one index that are looked at, and how deep indexes may lie in each other. */
const maxImages = 1000;
const maxDepth = 4;

interface InlineCache {
  readonly config: CacheConfig;
  readonly layers: readonly BlobLayer[];
}

/** The caches in the configs of an image, or of all images that an index lists, as one. Without any, it is empty. */
export async function readInlineCaches(
  root: Manifest | Index,
  provider: ContentProvider,
  options: { readonly signal: AbortSignal },
): Promise<{ readonly config: CacheConfig; readonly layers: ReadonlyMap<Digest, BlobLayer> }> {
  const manifests = new Map<Digest, Manifest>();
  if (isIndex(root)) await collectManifests(root, { manifests, depth: 1 }, { ...options, provider });
  const images = isIndex(root) ? [...manifests.values()] : [root];
  const caches = await Promise.all(images.map(async (image) => await readInlineCache(image, provider, options)));
  const found = caches.filter((cache) => cache !== undefined);
  return {
    config: joinConfigs(found.map(({ config }) => config)),
    layers: new Map(found.flatMap(({ layers }) => layers.map((layer) => [layer.descriptor.digest, layer] as const))),
  };
}

async function collectManifests(
  index: Index,
  found: { readonly manifests: Map<Digest, Manifest>; readonly depth: number },
  options: { readonly signal: AbortSignal; readonly provider: ContentProvider },
): Promise<void> {
  for (const descriptor of index.manifests) {
    if (found.manifests.has(descriptor.digest) || found.manifests.size >= maxImages) continue;
    const manifest = parseManifest(await readCacheBlob(descriptor, options.provider, options));
    if (!isIndex(manifest)) found.manifests.set(descriptor.digest, manifest);
    else if (found.depth < maxDepth) await collectManifests(manifest, { ...found, depth: found.depth + 1 }, options);
  }
}

async function readInlineCache(
  manifest: Manifest,
  provider: ContentProvider,
  options: { readonly signal: AbortSignal },
): Promise<InlineCache | undefined> {
  if (manifest.layers.length === 0) return undefined;
  const image = parseJson(await readCacheBlob(manifest.config, provider, options), "image config");
  const cache = image["moby.buildkit.cache.v0"];
  const rootfs = image["rootfs"] as { readonly diff_ids?: unknown } | undefined;
  const diffIds = Array.isArray(rootfs?.diff_ids) ? (rootfs.diff_ids as unknown[]) : [];
  // An image whose config does not belong to its layers is nothing to rely on.
  if (typeof cache !== "string" || diffIds.length !== manifest.layers.length) return undefined;
  const history = layerHistory(image["history"]);
  const layers = manifest.layers.flatMap((descriptor, index): BlobLayer[] => {
    const diffId = diffIds[index];
    if (typeof diffId !== "string" || !isDigest(diffId)) return [];
    return [{ descriptor, diffId: diffId as DiffId, ...history[index] }];
  });
  if (layers.length !== manifest.layers.length) return undefined;
  const records: unknown = JSON.parse(Buffer.from(cache, "base64").toString("utf8"));
  const stack = manifest.layers.map(({ digest }: Descriptor, index) => ({ blob: digest, parent: index - 1 }));
  return { config: parseCacheConfig(JSON.stringify({ layers: stack, records })), layers };
}

/** When and by what each layer was made, as far as the history tells. */
function layerHistory(history: unknown): { readonly createdAt?: number; readonly description?: string }[] {
  if (!Array.isArray(history)) return [];
  const entries = history as readonly {
    readonly created?: unknown;
    readonly created_by?: unknown;
    readonly empty_layer?: unknown;
  }[];
  return entries
    .filter((entry) => typeof entry === "object" && entry !== null && entry.empty_layer !== true)
    .map(({ created, created_by: by }) => {
      const createdAt = Date.parse(String(created));
      return {
        ...(Number.isFinite(createdAt) && { createdAt }),
        ...(typeof by === "string" && by !== "" && { description: by }),
      };
    });
}
