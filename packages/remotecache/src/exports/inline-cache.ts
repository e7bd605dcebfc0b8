import type { CompressionOptions } from "@buildkit-ts/cache";
import type { Digest } from "@buildkit-ts/oci";
import type { CachedResult, OpContext } from "@buildkit-ts/solver";
import { type CacheConfig, type CacheConfigRecord, encodeCacheConfig } from "../cache-config.ts";
import { CollectedChains, type RefOfResult } from "./collect-chains.ts";

/** Go's zero time. */
const noTime = "0001-01-01T00:00:00Z";

/**
 * The cache of one result as an image's config holds it: records whose layers are indices into the image's own.
 *
 * @param layers The image's layers, bottom first.
 * @returns JSON; undefined, when the image holds no layer that any record needs.
 */
export async function makeInlineCache(
  result: CachedResult,
  options: {
    readonly layers: readonly Digest[];
    readonly compression: CompressionOptions;
    readonly refOf: RefOfResult;
  },
  context: OpContext,
): Promise<Uint8Array | undefined> {
  const { layers, compression, refOf } = options;
  await using collected = await CollectedChains.collect([result], { mode: "min", compression, refOf }, context);
  return encodeInlineCache(collected.chains.toConfig().config, layers);
}

/** The config's records in the terms of an image; undefined, when none of them has a result there. */
export function encodeInlineCache(config: CacheConfig, layers: readonly Digest[]): Uint8Array | undefined {
  const places = new Map(layers.map((digest, place) => [digest, place]));
  const records = config.records.map((record) => withImageLayers(record, config.layers, places));
  if (records.every((record) => record.layers.length + record.chains.length === 0)) return undefined;
  const text = Buffer.from(encodeCacheConfig({ layers: [], records })).toString("utf8");
  return Buffer.from(JSON.stringify((JSON.parse(text) as { records: unknown }).records));
}

function withImageLayers(
  record: CacheConfigRecord,
  layers: CacheConfig["layers"],
  places: ReadonlyMap<Digest, number>,
): CacheConfigRecord {
  const whole: CacheConfigRecord["layers"][number][] = [];
  const chains: CacheConfigRecord["chains"][number][] = [];
  for (const { layer, createdAt } of record.layers) {
    const stack: (number | undefined)[] = [];
    for (let at = layers[layer]; at !== undefined; at = layers[at.parent]) stack.unshift(places.get(at.blob));
    const inImage = stack.filter((place) => place !== undefined);
    if (inImage.length < stack.length) continue;
    // The image's lowest layers in their order are named by the topmost one.
    if (inImage.every((place, index) => place === index)) whole.push({ layer: inImage.length - 1, createdAt });
    else chains.push({ layers: inImage, createdAt: noTime });
  }
  return { ...record, layers: whole, chains };
}
