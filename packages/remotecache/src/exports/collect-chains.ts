import type { CompressionOptions, ImmutableRef } from "@buildkit-ts/cache";
import { BuildError, LostContentError } from "@buildkit-ts/errdefs";
import { formatTime } from "@buildkit-ts/gotext";
import { type Descriptor, type Digest, stargzAnnotations } from "@buildkit-ts/oci";
import {
  type CachedResult,
  exportChains,
  type FoundRecord,
  isRandom,
  type OpContext,
  type Result,
} from "@buildkit-ts/solver";
import { CacheChains, type Remote } from "../cache-chains.ts";
import type { LayerSource } from "./cache-target.ts";

const { tocDigest, uncompressedSize } = stargzAnnotations;

/** Gives the tree that a result holds; undefined for an empty one. The hold stays the result's. */
export type RefOfResult = (result: Result) => ImmutableRef | undefined;

/** What of a build's cache is collected, and how its blobs shall be. */
export interface CollectOptions {
  readonly mode: "min" | "max";
  readonly compression: CompressionOptions;
  readonly refOf: RefOfResult;
}

/** The records below some results, and where their blobs can be read. Disposal lets go of the results. */
export class CollectedChains implements AsyncDisposable {
  readonly chains: CacheChains = new CacheChains();
  readonly #sources = new Map<Digest, LayerSource>();
  readonly #holds = new AsyncDisposableStack();

  /** Walks down from the results, and makes the blobs that the mode asks for. */
  static async collect(
    results: readonly CachedResult[],
    options: CollectOptions,
    context: OpContext,
  ): Promise<CollectedChains> {
    const collected = new CollectedChains();
    try {
      // All keys of a result lead to the same chains, so that the best one is enough.
      const keys = results.flatMap((result) => result.keys.find(({ key }) => !isRandom(key.digest)) ?? []);
      await exportChains(keys, {
        target: collected.chains,
        mode: options.mode,
        signal: context.signal,
        resolve: async (found, { create }) => await collected.#resolve(found, { ...options, create }, context),
      });
    } catch (error) {
      await collected[Symbol.asyncDispose]();
      throw error;
    }
    return collected;
  }

  /** @throws {BuildError} `not_found` */
  source(digest: Digest): LayerSource {
    const source = this.#sources.get(digest);
    if (source === undefined) throw new BuildError("not_found", `missing blob ${digest}`);
    return source;
  }

  async #resolve(
    { store, record }: FoundRecord,
    options: CollectOptions & { readonly create: boolean },
    context: OpContext,
  ): Promise<Remote | undefined> {
    const result = await loadResult(async () => await store.load(record, context));
    if (result === undefined) return undefined;
    // Held to the end: what nobody holds may be collected before it was transferred.
    this.#holds.use(result);
    const ref = options.refOf(result);
    if (ref === undefined || (!options.create && ref.chainId === undefined)) return undefined;
    const { signal, progress } = context;
    const remote = await unlessLost(
      async () => await ref.remote(options.compression, { signal, progress, session: context.sessions() }),
    );
    if (remote === undefined) return undefined;
    const descriptors = remote.layers.map(({ descriptor, diffId, createdAt }): Descriptor => {
      this.#sources.set(descriptor.digest, { provider: remote.provider, known: descriptor });
      const { mediaType, digest, size } = descriptor;
      const { [tocDigest]: toc, [uncompressedSize]: whole } = descriptor.annotations ?? {};
      const annotations = {
        "buildkit/createdat": formatTime(createdAt),
        ...(toc !== undefined && { [tocDigest]: toc }),
        "containerd.io/uncompressed": diffId,
        ...(whole !== undefined && { [uncompressedSize]: whole }),
      };
      return { mediaType, digest, size, annotations };
    });
    return descriptors.length === 0 ? undefined : { descriptors };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holds.disposeAsync();
  }
}

/** What another cache has lost is not exported: the record goes without a result. */
async function unlessLost<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (LostContentError.findIn(error) !== undefined) return undefined;
    throw error;
  }
}

async function loadResult(load: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await load();
  } catch (error) {
    if (BuildError.from(error).code === "not_found") return undefined;
    throw error;
  }
}
