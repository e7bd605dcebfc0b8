import type { ImmutableRef, Remote } from "@buildkit-ts/cache";
import type { ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, type Digest, digestOf, mediaTypes } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { ExportContext, ExportInput } from "../exporter.ts";
import type { BlobPins } from "../image-store.ts";
import { type Annotation, annotationsOfResult, selectAnnotations } from "../options/annotations.ts";
import { type Epoch, epochFromResult } from "../options/attributes.ts";
import { formatGoJson } from "../options/go-json.ts";
import type { ImageOptions } from "../options/image-options.ts";
import {
  checkPlatforms,
  findRef,
  platformMetadata,
  type ResultPlatform,
  resultPlatforms,
} from "../options/result-platforms.ts";
import { diffIdsOf, patchImageConfig } from "./image-config.ts";
import { withMediaTypeOf, withPublicAnnotations } from "./layer-media-type.ts";
import type { LayerRewriter } from "./layer-rewriter.ts";
import { writeBlob } from "./write-blob.ts";

/** An image whose manifests and configs are in the content store. Its layers may be lazy: read them by the remotes. */
export interface CommittedImage {
  /** Of the manifest, or of the index where the result has several platforms. */
  readonly descriptor: Descriptor;
  /** For a single manifest only. */
  readonly configDigest: Digest | undefined;
  readonly remotes: readonly Remote[];
}

/** What {@linkcode ImageWriter} works with. */
export interface ImageWriterOptions {
  readonly content: ContentStore;
  /** Lets manifests and configs go with the records that they describe; without it they stay. */
  readonly pins?: Pick<BlobPins, "pinBlobs">;
  /** Without it layers keep their times. */
  readonly rewriter?: LayerRewriter;
}

/** Turns results into images: layers, config, manifest and, for a map of refs, an index. */
export class ImageWriter {
  readonly #content: ContentStore;
  readonly #pins: ImageWriterOptions["pins"];
  readonly #rewriter: LayerRewriter | undefined;

  constructor(options: ImageWriterOptions) {
    this.#content = options.content;
    this.#pins = options.pins;
    this.#rewriter = options.rewriter;
  }

  /** @throws {BuildError} `invalid_argument`, when result and options contradict each other. */
  async commit(input: ExportInput, options: ImageOptions, context: ExportContext): Promise<CommittedImage> {
    const platforms = resultPlatforms(input.metadata);
    checkImagePlatforms(input, platforms);
    const annotations = [...options.annotations, ...annotationsOfResult(input.metadata)];
    checkAnnotations(annotations, input, options);
    if (options.rewriteTimestamp && this.#rewriter === undefined)
      throw new BuildError("unimplemented", "Cannot rewrite timestamps of layers: this builder does not support it", {
        hint: "Leave out rewrite-timestamp, or set SOURCE_DATE_EPOCH only.",
      });
    const exported = await this.#exportLayers(input, { platforms, options }, context);
    const remotes: (Remote | undefined)[] = [];
    const commits: ManifestCommit[] = [];
    for (const [index, platform] of platforms.entries()) {
      const epoch = options.epoch ?? epochFromResult(input.metadata, platform.id);
      const remote = await this.#rewrite(exported[index], { input, platform, epoch, options }, context);
      remotes.push(remote);
      commits.push(await this.#commitManifest({ input, platform, epoch, remote, annotations, options }, context));
    }
    const present = remotes.filter((remote) => remote !== undefined);
    const [single] = commits;
    if (input.refs.size === 0 && single !== undefined)
      return { descriptor: single.descriptor, configDigest: single.configDigest, remotes: present };
    const descriptor = await this.#commitIndex(commits, { input, annotations, options }, context);
    return { descriptor, configDigest: undefined, remotes: present };
  }

  async #exportLayers(
    input: ExportInput,
    image: { readonly platforms: readonly ResultPlatform[]; readonly options: ImageOptions },
    context: ExportContext,
  ): Promise<(Remote | undefined)[]> {
    const { compression } = image.options;
    const refOptions = { signal: context.signal, progress: context.progress, session: context.sessions() };
    const toRemote = async (ref: ImmutableRef | undefined): Promise<Remote | undefined> =>
      await ref?.remote(compression, refOptions);
    return await withStatus(context.progress, "exporting layers", async () => {
      const settled = await Promise.allSettled(image.platforms.map((p) => toRemote(findRef(input, p.id))));
      return settled.map((one) => {
        if (one.status === "rejected") throw one.reason;
        return one.value;
      });
    });
  }

  /** With the times of the layers that are not the base's, where that is asked for and there is an epoch. */
  async #rewrite(
    remote: Remote | undefined,
    work: Pick<ManifestWork, "input" | "platform" | "epoch" | "options">,
    context: ExportContext,
  ): Promise<Remote | undefined> {
    const { input, platform, epoch, options } = work;
    const rewriter = options.rewriteTimestamp ? this.#rewriter : undefined;
    const epochSeconds = epoch?.seconds;
    if (rewriter === undefined || remote === undefined || epochSeconds === undefined) return remote;
    const { compression } = options;
    const baseLayers = diffIdsOf(platformMetadata(input.metadata, "containerimage.base.config", platform.id));
    const pin = async (digest: Digest): Promise<void> => await this.#pin(digest, input);
    return await rewriter.rewrite(remote, { epochSeconds, compression, baseLayers, pin }, context);
  }

  async #commitManifest(work: ManifestWork, context: ExportContext): Promise<ManifestCommit> {
    const { input, platform, remote, annotations, options } = work;
    const family = options.ociMediaTypes ? "oci" : "docker";
    const layers = remote?.layers ?? [];
    const inlineKey = input.refs.size === 0 ? "" : platform.id;
    const config = patchImageConfig(platformMetadata(input.metadata, "containerimage.config", platform.id), {
      layers,
      epochSeconds: work.epoch?.seconds,
      baseConfig: platformMetadata(input.metadata, "containerimage.base.config", platform.id),
      inlineCache: await input.inlineCache?.(
        inlineKey,
        { layers: layers.map(({ descriptor }) => descriptor.digest), compression: options.compression },
        context,
      ),
    });
    const configBlob = {
      mediaType: options.ociMediaTypes ? mediaTypes.ociConfig : mediaTypes.dockerConfig,
      bytes: config,
    };
    const single = input.refs.size === 0;
    const manifestAnnotations = selectAnnotations(annotations, "manifest", single ? undefined : platform.platform);
    const configDescriptor = await this.#write(configBlob, input, context);
    const mediaType = options.ociMediaTypes ? mediaTypes.ociManifest : mediaTypes.dockerManifest;
    const manifest = {
      schemaVersion: 2,
      mediaType,
      config: configDescriptor,
      layers: layers.map((layer) =>
        orderDescriptor(withPublicAnnotations(withMediaTypeOf(layer.descriptor, family), family)),
      ),
      ...(manifestAnnotations !== undefined && { annotations: manifestAnnotations }),
    };
    const descriptor = await this.#writeNamed({ kind: "manifest", mediaType, value: manifest, input }, context);
    await withStatus(context.progress, `exporting config ${configDescriptor.digest}`, async () => {});
    const onDescriptor = selectAnnotations(annotations, "manifest-descriptor", single ? undefined : platform.platform);
    return {
      configDigest: configDescriptor.digest,
      descriptor: {
        ...descriptor,
        ...(onDescriptor !== undefined && { annotations: onDescriptor }),
        platform: platform.platform,
      },
    };
  }

  async #commitIndex(
    commits: readonly ManifestCommit[],
    image: {
      readonly input: ExportInput;
      readonly annotations: readonly Annotation[];
      readonly options: ImageOptions;
    },
    context: ExportContext,
  ): Promise<Descriptor> {
    const mediaType = image.options.ociMediaTypes ? mediaTypes.ociIndex : mediaTypes.dockerManifestList;
    const onIndex = selectAnnotations(image.annotations, "index");
    const index = {
      schemaVersion: 2,
      mediaType,
      manifests: commits.map((commit) => orderDescriptor(commit.descriptor)),
      ...(onIndex !== undefined && { annotations: onIndex }),
    };
    const descriptor = await this.#writeNamed(
      { kind: "manifest list", mediaType, value: index, input: image.input },
      context,
    );
    const onDescriptor = selectAnnotations(image.annotations, "index-descriptor");
    return { ...descriptor, ...(onDescriptor !== undefined && { annotations: onDescriptor }) };
  }

  async #writeNamed(
    document: {
      readonly kind: string;
      readonly mediaType: string;
      readonly value: unknown;
      readonly input: ExportInput;
    },
    context: ExportContext,
  ): Promise<Descriptor> {
    const { kind, mediaType, value, input } = document;
    const bytes = Buffer.from(formatGoJson(value, "  "));
    const started = Date.now();
    const descriptor = await this.#write({ mediaType, bytes }, input, context);
    const id = `exporting ${kind} ${descriptor.digest}`;
    context.progress.status({ id, started });
    context.progress.status({ id, started, completed: Date.now() });
    return descriptor;
  }

  async #write(
    blob: { readonly mediaType: string; readonly bytes: Uint8Array },
    input: ExportInput,
    context: ExportContext,
  ): Promise<Descriptor> {
    // Pinned first: a blob that is there already may be about to go with its only other record.
    await this.#pin(digestOf(blob.bytes), input);
    return await writeBlob(this.#content, blob, context);
  }

  async #pin(digest: Digest, input: ExportInput): Promise<void> {
    for (const ref of [input.ref, ...input.refs.values()]) {
      if (ref !== undefined) await this.#pins?.pinBlobs(ref.id, [digest]);
    }
  }
}

interface ManifestWork {
  readonly input: ExportInput;
  readonly platform: ResultPlatform;
  readonly epoch: Epoch | undefined;
  readonly remote: Remote | undefined;
  readonly annotations: readonly Annotation[];
  readonly options: ImageOptions;
}

interface ManifestCommit {
  readonly descriptor: Descriptor;
  readonly configDigest: Digest;
}

/** The members in the order of Go's `ocispec.Descriptor`, so that equal images have equal digests. */
export function orderDescriptor(descriptor: Descriptor): Descriptor {
  const { mediaType, digest, size, urls, annotations, data, platform, artifactType } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(urls !== undefined && urls.length > 0 && { urls }),
    ...(annotations !== undefined && Object.keys(annotations).length > 0 && { annotations }),
    ...(data !== undefined && { data }),
    ...(platform !== undefined && { platform: orderPlatform(platform) }),
    ...(artifactType !== undefined && { artifactType }),
  };
}

function orderPlatform(platform: NonNullable<Descriptor["platform"]>): NonNullable<Descriptor["platform"]> {
  const { architecture, os, variant, "os.version": version, "os.features": features } = platform;
  return {
    architecture,
    os,
    ...(version !== undefined && { "os.version": version }),
    ...(features !== undefined && { "os.features": features }),
    ...(variant !== undefined && { variant }),
  };
}

function checkImagePlatforms(input: ExportInput, platforms: readonly ResultPlatform[]): void {
  if (input.refs.size === 0 && platforms.length > 1)
    throw new BuildError("invalid_argument", "cannot export multiple platforms without multi-platform enabled");
  checkPlatforms(input, platforms);
}

function checkAnnotations(annotations: readonly Annotation[], input: ExportInput, options: ImageOptions): void {
  const isMap = input.refs.size > 0;
  for (const { type, platform } of annotations) {
    if (platform !== "" && isMap && !input.refs.has(platform))
      throw new BuildError("invalid_argument", `invalid annotation: no platform ${platform} found in source`);
    if (!options.ociMediaTypes && type !== "manifest")
      throw new BuildError("invalid_argument", 'cannot export annotations with "oci-mediatypes=false"');
    if (!isMap && type.startsWith("index"))
      throw new BuildError("invalid_argument", "index annotations not supported for single platform export");
  }
}
