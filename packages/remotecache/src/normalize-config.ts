import type { CacheConfig, CacheConfigInput, CacheConfigLayer, CacheConfigRecord } from "./cache-config.ts";

/** The same config in the one order that its content decides, so that equal caches have equal digests. */
export function normalizeConfig({ layers, records }: CacheConfig): CacheConfig {
  const layerOrder = order(layers, (a, b) => compare(a.blob, b.blob) || a.parent - b.parent);
  const digestOf = (input: CacheConfigInput): string => records[input.link]?.digest ?? "";
  const byContent = (a: CacheConfigInput, b: CacheConfigInput): number =>
    compare(a.selector, b.selector) || compare(digestOf(a), digestOf(b));
  const sorted = records.map((record) => ({
    ...record,
    inputs: record.inputs.map((links) => links.toSorted(byContent)),
  }));
  const recordOrder = order(sorted, (a, b) => compareRecords(a, b, byContent));
  return {
    layers: layerOrder.sorted.map((layer): CacheConfigLayer => {
      return { ...layer, parent: layer.parent < 0 ? -1 : layerOrder.moved(layer.parent) };
    }),
    records: recordOrder.sorted.map((record): CacheConfigRecord => {
      return {
        ...record,
        inputs: record.inputs.map((links) =>
          links
            .map(({ selector, link }) => ({ selector, link: recordOrder.moved(link) }))
            .toSorted((a, b) => a.link - b.link || compare(a.selector, b.selector)),
        ),
        layers: record.layers.map((result) => ({ ...result, layer: layerOrder.moved(result.layer) })),
        chains: record.chains.map((chain) => ({ ...chain, layers: chain.layers.map(layerOrder.moved) })),
      };
    }),
  };
}

function compareRecords(
  a: CacheConfigRecord,
  b: CacheConfigRecord,
  byContent: (a: CacheConfigInput, b: CacheConfigInput) => number,
): number {
  const first = compare(a.digest, b.digest) || a.inputs.length - b.inputs.length;
  if (first !== 0) return first;
  for (const [i, links] of a.inputs.entries()) {
    const others = b.inputs[i] ?? [];
    if (links.length !== others.length) return links.length - others.length;
    for (const [j, link] of links.entries()) {
      const other = others[j];
      const difference = other === undefined ? 0 : byContent(link, other);
      if (difference !== 0) return difference;
    }
  }
  return 0;
}

function order<T>(
  items: readonly T[],
  by: (a: T, b: T) => number,
): { readonly sorted: readonly T[]; readonly moved: (index: number) => number } {
  const indexed = items
    .map((item, index) => ({ item, index }))
    .toSorted((a, b) => by(a.item, b.item) || a.index - b.index);
  const places = new Map(indexed.map(({ index }, place) => [index, place]));
  return { sorted: indexed.map(({ item }) => item), moved: (index) => places.get(index) ?? -1 };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
