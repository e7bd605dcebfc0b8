import { rm } from "node:fs/promises";
import { SingleFlight, TaskGroup } from "@buildkit-ts/async";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError, LostContentError } from "@buildkit-ts/errdefs";
import type { MadeLayer, MakeLayerOptions } from "@buildkit-ts/layers";
import type { Mount } from "@buildkit-ts/mount";
import type { Descriptor } from "@buildkit-ts/oci";
import type { CacheRecord } from "../record/cache-record.ts";
import type { CompressionOptions, HeldMounts, RefOptions, Remote, RemoteLayer } from "../refs.ts";
import type { TreeServices } from "../trees/tree-services.ts";
import { compressionOf, diffIdOf, withDiffId, withMediaTypeOf } from "./layer-media-type.ts";

/** Unpacks a record and names its snapshot. */
type Extract = (record: CacheRecord, options: RefOptions) => Promise<string>;

/** Makes layer blobs of trees, each once, and describes chains of them. */
export class LayerBlobs {
  readonly #services: TreeServices;
  readonly #extract: Extract;
  readonly #flights = new SingleFlight<string, Descriptor>();

  constructor(services: TreeServices, extract: Extract) {
    this.#services = services;
    this.#extract = extract;
  }

  /** The blobs of a record's layers; those that are missing are made, all at the same time. */
  async describe(record: CacheRecord, compression: CompressionOptions, options: RefOptions): Promise<Remote> {
    const records = record.layers();
    const layers: RemoteLayer[] = [];
    await using group = new TaskGroup({ signal: options.signal });
    for (const [index, layer] of records.entries())
      group.run(async (signal) => {
        const descriptor = await this.#ensure(layer, compression, { ...options, signal });
        const { diffId, createdAt, description } = layer.values;
        if (diffId === undefined) throw new BuildError("internal", `Cannot describe layer "${layer.id}": no DiffID`);
        layers[index] = {
          descriptor: withMediaTypeOf(descriptor, { oci: compression.ociMediaTypes }),
          diffId: diffIdOf(descriptor, diffId),
          createdAt,
          description,
        };
      });
    await group.join();
    return { layers, provider: this.#provider(records, options.session) };
  }

  async #ensure(record: CacheRecord, compression: CompressionOptions, options: RefOptions): Promise<Descriptor> {
    const present = record.values.diffId === undefined ? undefined : await this.#select(record, compression);
    if (present !== undefined) return present;
    const key = `${record.id} ${compression.type} ${compression.level ?? ""}`;
    return await this.#flights.run(
      key,
      async (signal) => await this.#make(record, compression, { ...options, signal }),
      options,
    );
  }

  /** The blob to use as it is: one that is here or can still be fetched. */
  async #select(record: CacheRecord, compression: CompressionOptions): Promise<Descriptor | undefined> {
    for (const descriptor of record.values.blobs) {
      if (compression.force === true && compressionOf(descriptor) !== compression.type) continue;
      if (record.lazy !== undefined || (await this.#services.blobs.has(descriptor.digest))) return descriptor;
    }
    return undefined;
  }

  async #make(record: CacheRecord, compression: CompressionOptions, options: RefOptions): Promise<Descriptor> {
    const { blobs, codec, registry } = this.#services;
    const outputPath = blobs.content.createIngestPath();
    try {
      const make: MakeLayerOptions = {
        signal: options.signal,
        outputPath,
        compression: {
          type: compression.type,
          ociMediaTypes: compression.ociMediaTypes,
          ...(compression.level !== undefined && { level: compression.level }),
        },
      };
      const source = record.values.blobs.length === 0 ? undefined : await this.#findSource(record, options);
      // All blobs are lost: one that is made of the tree may be another one, so its DiffID must be free to differ as well.
      if (source === undefined) registry.update(record, { blobs: [], diffId: undefined, sizeBytes: undefined });
      const made =
        source === undefined
          ? await this.#makeOfTree(record, make, options)
          : await codec.recompress(blobs.content.pathOf(source.digest), source.mediaType, make);
      checkDiffId(record, { source, made });
      const diffId = record.values.diffId ?? made.diffId;
      const descriptor = made.diffId === diffId ? made.descriptor : withDiffId(made.descriptor, made.diffId);
      // Named before it is there, so that nothing that prunes meanwhile finds a blob without an owner.
      const known = record.values.blobs.filter(({ digest }) => digest !== descriptor.digest);
      registry.update(record, { diffId, blobs: [...known, descriptor], sizeBytes: undefined });
      await blobs.adopt(outputPath, descriptor);
      return descriptor;
    } finally {
      await rm(outputPath, { force: true });
    }
  }

  /** A blob to compress anew: one that is here, or that can be fetched where there is no tree. */
  async #findSource(record: CacheRecord, options: RefOptions): Promise<Descriptor | undefined> {
    const { blobs } = this.#services;
    const local = await blobs.findLocal(record);
    if (local !== undefined) return local;
    if (record.lazy === undefined && record.values.snapshot !== undefined) return undefined;
    return await blobs.ensureLocal(record, options);
  }

  /** The difference of the record's tree and what it lies on, as a layer. */
  async #makeOfTree(record: CacheRecord, make: MakeLayerOptions, options: RefOptions): Promise<MadeLayer> {
    const { codec, snapshotter } = this.#services;
    const { structure } = record;
    if (structure.kind === "merge")
      throw new BuildError("internal", `Cannot make a layer of "${record.id}": it is a merge of layers`);
    const isDiff = structure.kind === "diff";
    const lowerRecord = isDiff ? structure.lower : structure.parent;
    const upperRecord = isDiff ? structure.upper : record;
    await using lower = await this.#view(lowerRecord, options);
    await using upper = await this.#view(upperRecord, options);
    const upperDir = isDiff ? undefined : await snapshotter.upperDir(await this.#extract(record, options));
    return await codec.make(lower.mounts.length === 0 ? undefined : lower.mounts, upper.mounts, {
      ...make,
      ...(upperDir !== undefined && { upperDir }),
    });
  }

  async #view(record: CacheRecord | undefined, options: RefOptions): Promise<HeldMounts> {
    if (record === undefined) return emptyTree;
    return await this.#services.views.acquire(await this.#extract(record, options));
  }

  /** Reads blobs where they are: here, or where the record says that they can be fetched. */
  #provider(records: readonly CacheRecord[], session: unknown): ContentProvider {
    const { blobs } = this.#services;
    return {
      open: async (descriptor, options) => {
        if (await blobs.has(descriptor.digest)) return await blobs.content.open(descriptor, options);
        const owners = records.filter(({ values }) => values.blobs.some(({ digest }) => digest === descriptor.digest));
        const [owner] = owners.toSorted((a, b) => Number(b.lazy !== undefined) - Number(a.lazy !== undefined));
        const record = owner?.id ?? "";
        if (owner?.lazy === undefined)
          throw new LostContentError("not_found", `Cannot open blob "${descriptor.digest}": not found`, { record });
        return openLazy(owner.lazy(session), descriptor, { ...options, record });
      },
    };
  }
}

/** A blob that somebody else has. Every failure to read it says that it is lost. */
async function* openLazy(
  provider: ContentProvider,
  descriptor: Descriptor,
  { record, ...options }: { readonly signal: AbortSignal; readonly offset?: number; readonly record: string },
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* await provider.open(descriptor, options);
  } catch (error) {
    options.signal.throwIfAborted();
    throw LostContentError.of(error, record);
  }
}

const emptyTree: HeldMounts = {
  mounts: [] as readonly Mount[],
  [Symbol.asyncDispose]: async () => await Promise.resolve(),
};

/**
 * Other records and images name the layer by its DiffID; a blob with another one would be another layer. Only an eStargz
 * blob, and what is made of one, may have a DiffID of its own.
 */
function checkDiffId(
  record: CacheRecord,
  blob: { readonly source: Descriptor | undefined; readonly made: MadeLayer },
): void {
  const { source, made } = blob;
  if (made.isOtherArchive === true) return;
  const diffId = source === undefined ? record.values.diffId : diffIdOf(source, record.values.diffId);
  if (diffId !== undefined && diffId !== made.diffId)
    throw new BuildError("data_loss", `Cannot make layer "${record.id}": DiffID ${made.diffId} is not ${diffId}`);
}
