import type { CacheConfig } from "../cache-config.ts";

/** All records of all configs; those of one digest are one again for whoever looks for keys. */
export function joinConfigs(configs: readonly CacheConfig[]): CacheConfig {
  const layers: CacheConfig["layers"][number][] = [];
  const records: CacheConfig["records"][number][] = [];
  for (const config of configs) {
    const [firstLayer, firstRecord] = [layers.length, records.length];
    layers.push(
      ...config.layers.map((layer) => ({ ...layer, parent: layer.parent < 0 ? -1 : layer.parent + firstLayer })),
    );
    records.push(
      ...config.records.map((record) => ({
        ...record,
        inputs: record.inputs.map((links) => links.map((input) => ({ ...input, link: input.link + firstRecord }))),
        layers: record.layers.map((result) => ({ ...result, layer: result.layer + firstLayer })),
        chains: record.chains.map((chain) => ({ ...chain, layers: chain.layers.map((layer) => layer + firstLayer) })),
      })),
    );
  }
  return { layers, records };
}
