import { TaskGroup } from "@buildkit-ts/async";
import { type Descriptor, digestOf, mediaTypes } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { CachedResult, OpContext } from "@buildkit-ts/solver";
import type { CacheFormat } from "../cache-attributes.ts";
import { cacheConfigMediaType, encodeCacheConfig } from "../cache-config.ts";
import type { CacheTarget } from "./cache-target.ts";
import { CollectedChains, type RefOfResult } from "./collect-chains.ts";
import { describing } from "./describing.ts";

/** One export of a build's cache. */
export interface CacheExportRequest {
  readonly target: CacheTarget;
  readonly format: CacheFormat;
  readonly mode: "min" | "max";
  readonly refOf: RefOfResult;
}

/**
 * Writes the cache of some results to a target.
 *
 * @returns what the client is told: `cache.manifest`, the manifest's descriptor as JSON; nothing for an empty cache.
 */
export async function exportCache(
  results: readonly CachedResult[],
  request: CacheExportRequest,
  context: OpContext,
): Promise<Readonly<Record<string, string>>> {
  const { progress } = context;
  const { mode, refOf, format } = request;
  await using collected = await withStatus(
    progress,
    "preparing build cache for export",
    async () => await CollectedChains.collect(results, { mode, refOf, compression: format.compression }, context),
  );
  return await withStatus(progress, "sending cache export", async () => await send(collected, request, context));
}

async function send(
  collected: CollectedChains,
  { target, format }: CacheExportRequest,
  context: OpContext,
): Promise<Readonly<Record<string, string>>> {
  const { signal, progress } = context;
  const { config, descriptors } = collected.chains.toConfig();
  if (config.layers.length === 0) {
    await withStatus(progress, "skipping cache export for empty result", async () => {});
    return {};
  }
  await using group = new TaskGroup({ signal });
  for (const descriptor of descriptors.values()) {
    group.run(async (taskSignal) => {
      await withStatus(progress, `writing layer ${descriptor.digest}`, async () => {
        const from = collected.source(descriptor.digest);
        await describing("error writing layer blob", target.writeLayer(descriptor, from, { signal: taskSignal }));
      });
    });
  }
  await group.join();
  const configBytes = encodeCacheConfig(config);
  const configBlob = describe(cacheConfigMediaType, configBytes);
  await withStatus(progress, `writing config ${configBlob.digest}`, async () => {
    await describing("error writing config blob", target.writeConfig(configBlob, configBytes, { signal }));
  });
  const layers = config.layers.flatMap(({ blob }) => descriptors.get(blob) ?? []);
  const { mediaType, bytes } = encodeManifest(layers, configBlob, format);
  const manifest = describe(mediaType, bytes);
  const kind = format.isImageManifest ? "cache image manifest" : "cache manifest";
  await withStatus(progress, `writing ${kind} ${manifest.digest}`, async () => {
    await describing("error writing manifest blob", target.writeManifest(manifest, bytes, { signal }));
  });
  return { "cache.manifest": JSON.stringify(manifest) };
}

function encodeManifest(
  layers: readonly Descriptor[],
  config: Descriptor,
  { compression, isImageManifest }: CacheFormat,
): { readonly mediaType: string; readonly bytes: Uint8Array } {
  const listType = compression.ociMediaTypes ? mediaTypes.ociIndex : mediaTypes.dockerManifestList;
  const mediaType = isImageManifest ? mediaTypes.ociManifest : listType;
  const head = { schemaVersion: 2, mediaType };
  const value = isImageManifest ? { ...head, config, layers } : { ...head, manifests: [...layers, config] };
  return { mediaType, bytes: Buffer.from(JSON.stringify(value)) };
}

function describe(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}
