import { defaultUnpackLimits, type UnpackLimits } from "@buildkit-ts/compression";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Mount, mountTemporarily } from "@buildkit-ts/mount";
import { type DiffId, mediaTypes, stargzAnnotations } from "@buildkit-ts/oci";
import type { LayerTask, LayerTaskAnswer } from "./layer-task.ts";
import { LayerWorkerPool, type LayerWorkerPoolOptions } from "./layer-worker-pool.ts";
import type { AppliedLayer, LayerCodec, MadeLayer, MakeLayerOptions } from "./layers.ts";
import type { WrittenLayer } from "./make/layer-output.ts";

export interface WorkerLayerCodecOptions extends LayerWorkerPoolOptions {
  /** Where trees are mounted while they are read; the system's directory for temporary files unless given. */
  readonly mountParent?: string;
  /** What blobs may become; {@linkcode defaultUnpackLimits} unless given. */
  readonly limits?: UnpackLimits;
}

/** Works on layers in threads of its own. Only paths go to them and digests come back. */
export class WorkerLayerCodec implements LayerCodec, AsyncDisposable {
  readonly #pool: LayerWorkerPool;
  readonly #mountParent: string | undefined;
  readonly #limits: UnpackLimits;

  constructor(options: WorkerLayerCodecOptions = {}) {
    this.#pool = new LayerWorkerPool(options);
    this.#mountParent = options.mountParent;
    this.#limits = options.limits ?? defaultUnpackLimits;
  }

  async make(
    lower: readonly Mount[] | undefined,
    upper: readonly Mount[],
    options: MakeLayerOptions & { readonly upperDir?: string },
  ): Promise<MadeLayer> {
    const output = outputOf(options);
    const mountOptions = {
      signal: options.signal,
      onlyReads: true,
      ...(this.#mountParent !== undefined && { parent: this.#mountParent }),
    };
    await using lowerTree = lower === undefined ? undefined : await mountTemporarily(lower, mountOptions);
    const task = { kind: "make" as const, output, lower: lowerTree?.path, ...latestOf(options) };
    if (options.upperDir !== undefined) {
      const fast = { ...task, upper: { path: options.upperDir, form: "overlay-upper" as const } };
      const answer = await this.#pool.run(fast, options);
      if (answer.kind !== "unsupportedUpper") return madeLayer(writtenOf(answer), options);
    }
    await using upperTree = await mountTemporarily(upper, mountOptions);
    const whole = { ...task, upper: { path: upperTree.path, form: "merged" as const } };
    return madeLayer(writtenOf(await this.#pool.run(whole, options)), options);
  }

  async recompress(blobPath: string, _mediaType: string, options: MakeLayerOptions): Promise<MadeLayer> {
    // The blob's own bytes say how it is compressed; media types are often wrong.
    const task: LayerTask = {
      kind: "recompress",
      blobPath,
      output: outputOf(options),
      limits: this.#limits,
      ...latestOf(options),
    };
    return madeLayer(writtenOf(await this.#pool.run(task, options)), options);
  }

  async apply(
    blob: { readonly path: string; readonly mediaType: string },
    target: {
      readonly directory: string;
      readonly form: "overlay-upper" | "merged";
      /** Directories of lower layers, highest first: directories that the layer needs but does not have get their attributes. */
      readonly parents?: readonly string[];
    },
    options: { readonly signal: AbortSignal; readonly expected?: DiffId },
  ): Promise<AppliedLayer> {
    const { directory, form, parents = [] } = target;
    const expected = options.expected === undefined ? {} : { expected: options.expected };
    const { path: blobPath } = blob;
    const limits = this.#limits;
    const task: LayerTask = { kind: "apply", blobPath, directory, form, parents, limits, ...expected };
    const answer = await this.#pool.run(task, options);
    if (answer.kind === "applied") return answer.layer;
    throw failureOf(answer);
  }

  async inheritAttributes(
    target: {
      readonly directory: string;
      readonly paths: readonly string[];
      readonly parents: readonly string[];
    },
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    const answer = await this.#pool.run({ kind: "inherit", ...target }, options);
    if (answer.kind !== "inherited") throw failureOf(answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }
}

function outputOf({ compression, outputPath }: MakeLayerOptions): Extract<LayerTask, { kind: "make" }>["output"] {
  const { type, level } = compression;
  return { path: outputPath, compression: { type, ...(level !== undefined && { level }) } };
}

function latestOf(options: MakeLayerOptions): { readonly latestSeconds?: number } {
  return options.sourceDateEpoch === undefined ? {} : { latestSeconds: options.sourceDateEpoch };
}

function writtenOf(answer: LayerTaskAnswer): WrittenLayer {
  if (answer.kind === "written") return answer.layer;
  throw failureOf(answer);
}

function failureOf(answer: LayerTaskAnswer): BuildError {
  if (answer.kind !== "failed")
    return new BuildError("internal", `Cannot work on layer: its thread answered "${answer.kind}"`);
  const cause = new Error(answer.message);
  if (answer.stack !== undefined) cause.stack = answer.stack;
  return new BuildError(answer.code, answer.message, {
    cause,
    ...(answer.hint !== undefined && { hint: answer.hint }),
  });
}

const layerTypes = {
  uncompressed: [mediaTypes.ociLayer, mediaTypes.dockerLayer],
  gzip: [mediaTypes.ociLayerGzip, mediaTypes.dockerLayerGzip],
  zstd: [mediaTypes.ociLayerZstd, mediaTypes.dockerLayerZstd],
  estargz: [mediaTypes.ociLayerGzip, mediaTypes.dockerLayerGzip],
} as const;

function madeLayer(written: WrittenLayer, { compression }: MakeLayerOptions): MadeLayer {
  const [oci, docker] = layerTypes[compression.type];
  const { diffId, digest, size, stargz, isPayloadOfStargz } = written;
  const descriptor = { mediaType: compression.ociMediaTypes ? oci : docker, digest, size };
  if (stargz === undefined) return { diffId, descriptor, ...(isPayloadOfStargz === true && { isOtherArchive: true }) };
  const annotations = {
    [stargzAnnotations.tocDigest]: stargz.tocDigest,
    [stargzAnnotations.uncompressedSize]: String(stargz.uncompressedSize),
  };
  return { diffId, descriptor: { ...descriptor, annotations }, isOtherArchive: true };
}
