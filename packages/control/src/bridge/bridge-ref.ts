import { randomUUID } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";
import { SingleFlight } from "@buildkit-ts/async";
import type { ImmutableRef } from "@buildkit-ts/cache";
import { LostContentError, SourceError, VertexError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";
import type { Attestations } from "@buildkit-ts/provenance";
import type { CachedResult, Edge, Job, OpContext, PrepareResult, Result } from "@buildkit-ts/solver";
import type { BuildEngine } from "../engine.ts";

/**
 * A tree that a frontend asked for, built when somebody first needs it.
 *
 * The result is built once and held until disposal; later callers share it.
 */
export class BridgeRef implements AsyncDisposable {
  readonly id: string = randomUUID().replaceAll("-", "");
  readonly definition: opspb.Definition;
  /** Where the vertices come from, by the digests that they have in the solver. */
  readonly #source: opspb.Source | undefined;
  readonly #edge: Edge;
  readonly #job: Job;
  readonly #engine: BuildEngine;
  readonly #describe: (error: unknown) => Promise<unknown>;
  readonly #flight = new SingleFlight<"result" | "extracted", CachedResult | undefined>();
  /** The last one counts. Former ones may be in use still. */
  readonly #results: CachedResult[] = [];
  #disposed = false;

  constructor(options: {
    readonly definition: opspb.Definition;
    readonly source: opspb.Source | undefined;
    readonly edge: Edge;
    readonly job: Job;
    readonly engine: BuildEngine;
    /** Adds to a failure what a client needs to look into it. */
    readonly describe: (error: unknown) => Promise<unknown>;
  }) {
    this.definition = options.definition;
    this.#source = options.source;
    this.#edge = options.edge;
    this.#job = options.job;
    this.#engine = options.engine;
    this.#describe = options.describe;
  }

  /** The built result; undefined for an empty definition. @throws {SourceError} pointing to what defined the failed step. */
  async result(options: { readonly signal: AbortSignal }): Promise<CachedResult | undefined> {
    const known = this.#results.at(-1);
    if (known !== undefined) return known;
    return await this.#flight.run("result", async (signal) => await this.#build(signal), options);
  }

  async #build(signal: AbortSignal, prepare?: PrepareResult): Promise<CachedResult | undefined> {
    try {
      const result = await this.#job.build(this.#edge, { signal, ...(prepare !== undefined && { prepare }) });
      if (this.#disposed) await result[Symbol.asyncDispose]();
      else this.#results.push(result);
      return result;
    } catch (error) {
      throw await this.#describe(this.#locate(error));
    }
  }

  /** The clients whose credentials fetch what the tree lacks. */
  sessions(): readonly string[] {
    return this.#job.sessions();
  }

  /** The result, with all of its bytes here. Where bytes of a cached one cannot be had any more it is built again. */
  async extracted(options: { readonly signal: AbortSignal }): Promise<CachedResult | undefined> {
    const prepare: PrepareResult = async (result, context) => {
      const { signal, progress } = context;
      await this.#engine.refOf(result)?.extract({ signal, progress, session: context.sessions() });
    };
    return await this.#flight.run("extracted", async (signal) => await this.#build(signal, prepare), options);
  }

  /** The edge, if it was built. */
  get built(): Edge | undefined {
    return this.#results.length === 0 ? undefined : this.#edge;
  }

  /** The built tree, made again if somebody has deleted its files; undefined for an empty one. The hold stays here. */
  async tree(options: { readonly signal: AbortSignal }): Promise<ImmutableRef | undefined> {
    const result = await this.result(options);
    const tree = result === undefined ? undefined : this.#engine.refOf(result);
    if (tree === undefined || !(await isLost(tree))) return tree;
    const again = await this.extracted(options);
    return again === undefined ? undefined : this.#engine.refOf(again);
  }

  /** The blobs of a result's layers, lowest first; undefined, if there are none yet. */
  async blobsOf(result: Result, options: OpContext): Promise<Descriptor[] | undefined> {
    const tree = this.#engine.refOf(result);
    if (tree?.chainId === undefined) return undefined;
    const { signal, progress } = options;
    const session = options.sessions();
    const { layers } = await tree.remote({ type: "gzip", ociMediaTypes: true }, { signal, progress, session });
    return layers.map(({ descriptor: { mediaType, digest, size } }) => ({ mediaType, digest, size }));
  }

  /** Adds the place in the source file, when the definition says where the failed vertex comes from. */
  #locate(error: unknown): unknown {
    if (!(error instanceof VertexError)) return error;
    const source = this.#source;
    const found = source?.locations[error.vertex]?.locations ?? [];
    return found.reduce<unknown>((inner, location) => {
      const info = source?.infos[location.sourceIndex];
      if (info === undefined) return inner;
      const { filename, language, data, definition } = info;
      return new SourceError(error.message, {
        code: error.code,
        cause: inner,
        source: {
          filename,
          language,
          data,
          ...(definition !== undefined && { definition: toBinary(opspb.DefinitionSchema, definition) }),
        },
        ranges: location.ranges.map(({ start, end }) => ({
          start: { line: start?.line ?? 0, character: start?.character ?? 0 },
          end: { line: end?.line ?? 0, character: end?.character ?? 0 },
        })),
      });
    }, error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.all(this.#results.splice(0).map(async (result) => await result[Symbol.asyncDispose]()));
  }
}

async function isLost(tree: ImmutableRef): Promise<boolean> {
  try {
    await tree.checkPresent();
    return false;
  } catch (error) {
    if (LostContentError.findIn(error) === undefined) throw error;
    return true;
  }
}

/** What a frontend gave: one ref, or one for each platform, and metadata. */
export interface BridgeResult {
  readonly ref: BridgeRef | undefined;
  /** Undefined, when the result is a single one; a ref may be undefined (`scratch`). */
  readonly refs: ReadonlyMap<string, BridgeRef | undefined> | undefined;
  readonly metadata: ReadonlyMap<string, Uint8Array>;
  /** Statements about the result, by platform. */
  readonly attestations: Attestations<BridgeRef>;
}

/** `scratch`, of which nothing is known. */
export const emptyResult: BridgeResult = {
  ref: undefined,
  refs: undefined,
  metadata: new Map(),
  attestations: new Map(),
};

/** All refs of a result, in its order, those of its attestations last. */
export function refsOf(result: BridgeResult): BridgeRef[] {
  const attested = [...result.attestations.values()].flatMap((all) => all.map(({ ref }) => ref));
  return [...treesOf(result), ...attested.filter((ref) => ref !== undefined)];
}

/** The refs of the result itself, without those of its attestations. */
export function treesOf(result: BridgeResult): BridgeRef[] {
  return [result.ref, ...(result.refs?.values() ?? [])].filter((ref) => ref !== undefined);
}
