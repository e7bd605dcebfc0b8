import { Semaphore, TaskGroup } from "@buildkit-ts/async";
import type { ObjectStore } from "@buildkit-ts/objectstore";
import type { Descriptor } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { CachedResult, OpContext } from "@buildkit-ts/solver";
import { type CacheConfigLayer, encodeCacheConfig } from "../cache-config.ts";
import { CollectedChains, type RefOfResult } from "./collect-chains.ts";
import { describing } from "./describing.ts";

/** One export of a build's cache to an object store. */
export interface StoreExportRequest {
  readonly store: ObjectStore;
  readonly mode: "min" | "max";
  readonly refOf: RefOfResult;
}

/** As other builders write them there: nobody can ask for anything else. */
const compression = { type: "gzip", ociMediaTypes: true } as const;

/**
 * Writes the cache of some results to an object store: the layers that it lacks, then the config, whose layers say
 * what a manifest would say of them.
 */
export async function exportCacheToStore(
  results: readonly CachedResult[],
  { store, mode, refOf }: StoreExportRequest,
  context: OpContext,
): Promise<Readonly<Record<string, string>>> {
  const { progress, signal } = context;
  await using collected = await withStatus(
    progress,
    "preparing build cache for export",
    async () => await CollectedChains.collect(results, { mode, refOf, compression }, context),
  );
  await withStatus(progress, "sending cache export", async () => {
    const { config, descriptors } = collected.chains.toConfig();
    await writeLayers([...descriptors.values()], { store, collected }, context);
    const layers = config.layers.map((layer) => annotate(layer, descriptors.get(layer.blob)));
    await describing("error writing manifest", store.writeIndex(encodeCacheConfig({ ...config, layers }), { signal }));
  });
  return {};
}

async function writeLayers(
  descriptors: readonly Descriptor[],
  { store, collected }: { readonly store: ObjectStore; readonly collected: CollectedChains },
  context: OpContext,
): Promise<void> {
  const limit = new Semaphore(store.parallelism);
  await using group = new TaskGroup(context);
  for (const descriptor of descriptors) {
    group.run(async (signal) => {
      using _permit = await limit.acquire({ signal });
      if (await describing("failed to check file presence in cache", store.hasBlob(descriptor, { signal }))) return;
      await withStatus(context.progress, `writing layer ${descriptor.digest}`, async () => {
        const { provider } = collected.source(descriptor.digest);
        await describing("error writing layer blob", store.writeBlob(descriptor, provider, { signal }));
      });
    });
  }
  await group.join();
}

function annotate(layer: CacheConfigLayer, descriptor: Descriptor | undefined): CacheConfigLayer {
  const { mediaType, size, annotations = {} } = descriptor ?? {};
  const { "containerd.io/uncompressed": diffID, "buildkit/createdat": createdAt } = annotations as Readonly<
    Partial<Record<"containerd.io/uncompressed" | "buildkit/createdat", string>>
  >;
  return {
    ...layer,
    annotations: {
      ...(mediaType !== undefined && { mediaType }),
      ...(diffID !== undefined && { diffID }),
      ...(size !== undefined && { size }),
      ...(createdAt !== undefined && { createdAt }),
    },
  };
}
