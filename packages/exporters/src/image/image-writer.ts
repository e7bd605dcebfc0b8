import type { ImmutableRef, Remote } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";
import { formatGoJson } from "@buildkit-ts/gotext";
import { type Descriptor, type Digest, mediaTypes } from "@buildkit-ts/oci";
import { withStatus } from "@buildkit-ts/progress";
import type { ExportContext, ExportInput } from "../exporter.ts";
import { type Annotation, annotationsOfResult, selectAnnotations } from "../options/annotations.ts";
import { type Epoch, epochFromResult } from "../options/attributes.ts";
import type { ImageOptions } from "../options/image-options.ts";
import { findRef, platformMetadata, type ResultPlatform, resultPlatforms } from "../options/result-platforms.ts";
import { AttestationWriter } from "./attestation-writer.ts";
import { checkAnnotations, checkImagePlatforms, needsIndex } from "./check-image.ts";
import { DocumentWriter, type DocumentWriterOptions } from "./document-writer.ts";
import { diffIdsOf, patchImageConfig } from "./image-config.ts";
import { withMediaTypeOf, withoutUrls, withPublicAnnotations } from "./layer-media-type.ts";
import type { LayerRewriter } from "./layer-rewriter.ts";
import { orderDescriptor } from "./order-descriptor.ts";

/** An image whose manifests and configs are in the content store. Its layers may be lazy: read them by the remotes. */
export interface CommittedImage {
  /** Of the manifest, or of the index where the result has several platforms. */
  readonly descriptor: Descriptor;
  /** For a single manifest only. */
  readonly configDigest: Digest | undefined;
  readonly remotes: readonly Remote[];
}

/** What {@linkcode ImageWriter} works with. */
export interface ImageWriterOptions extends DocumentWriterOptions {
  /** Without it layers keep their times. */
  readonly rewriter?: LayerRewriter;
}

/** Turns results into images: layers, config, manifest and, for a map of refs, an index. */
export class ImageWriter {
  readonly #documents: DocumentWriter;
  readonly #attestations: AttestationWriter;
  readonly #rewriter: LayerRewriter | undefined;

  constructor(options: ImageWriterOptions) {
    this.#documents = new DocumentWriter(options);
    this.#attestations = new AttestationWriter(this.#documents);
    this.#rewriter = options.rewriter;
  }

  /** @throws {BuildError} `invalid_argument`, when result and options contradict each other. */
  async commit(input: ExportInput, options: ImageOptions, context: ExportContext): Promise<CommittedImage> {
    const platforms = resultPlatforms(input.metadata);
    checkImagePlatforms(input, platforms);
    const isIndex = needsIndex(input, platforms, options);
    const annotations = [...options.annotations, ...annotationsOfResult(input.metadata)];
    checkAnnotations(annotations, { input, isIndex, options });
    this.#checkRewriter(options);
    const exported = await this.#exportLayers(input, { platforms, options }, context);
    const remotes: (Remote | undefined)[] = [];
    const commits: ManifestCommit[] = [];
    for (const [index, platform] of platforms.entries()) {
      const epoch = options.epoch ?? epochFromResult(input.metadata, platform.id);
      const remote = await this.#rewrite(exported[index], { input, platform, epoch, options }, context);
      remotes.push(remote);
      const work = { input, platform, epoch, remote, annotations, isIndex, options };
      commits.push(await this.#commitManifest(work, context));
    }
    const present = remotes.filter((remote) => remote !== undefined);
    const [single] = commits;
    if (!isIndex && single !== undefined)
      return { descriptor: single.descriptor, configDigest: single.configDigest, remotes: present };
    const images = commits.map((commit) => commit.descriptor);
    const attested = platforms.flatMap((platform, index) => {
      const image = images[index];
      return image === undefined ? [] : [{ image, platform, remote: remotes[index] }];
    });
    const attestations = await this.#attestations.write(attested, { input, options }, context);
    // Behind all images: whoever takes the first manifest of an index shall find an image.
    const manifests = [...images, ...attestations];
    const descriptor = await this.#commitIndex(manifests, { input, annotations, options }, context);
    return { descriptor, configDigest: undefined, remotes: present };
  }

  #checkRewriter(options: ImageOptions): void {
    if (options.rewriteTimestamp && this.#rewriter === undefined)
      throw new BuildError("unimplemented", "Cannot rewrite timestamps of layers: this builder does not support it", {
        hint: "Leave out rewrite-timestamp, or set SOURCE_DATE_EPOCH only.",
      });
  }

  async #exportLayers(
    input: ExportInput,
    image: { readonly platforms: readonly ResultPlatform[]; readonly options: ImageOptions },
    context: ExportContext,
  ): Promise<(Remote | undefined)[]> {
    const { compression } = image.options;
    const refOptions = { signal: context.signal, progress: context.progress, session: context.sessions() };
    const toRemote = async (ref: ImmutableRef | undefined): Promise<Remote | undefined> => {
      const remote = await ref?.remote(compression, refOptions);
      if (remote === undefined || image.options.preferNonDistributable) return remote;
      return {
        ...remote,
        layers: remote.layers.map((layer) => ({ ...layer, descriptor: withoutUrls(layer.descriptor) })),
      };
    };
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
    const pin = async (digest: Digest): Promise<void> => await this.#documents.pin(digest, input, context);
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
    const annotated = work.isIndex ? platform.platform : undefined;
    const manifestAnnotations = selectAnnotations(annotations, "manifest", annotated);
    const configDescriptor = await this.#documents.write(configBlob, input, context);
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
    const descriptor = await this.#documents.writeNamed(
      { kind: "manifest", mediaType, bytes: Buffer.from(formatGoJson(manifest, "  ")) },
      input,
      context,
    );
    await withStatus(context.progress, `exporting config ${configDescriptor.digest}`, async () => {});
    const onDescriptor = selectAnnotations(annotations, "manifest-descriptor", annotated);
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
    manifests: readonly Descriptor[],
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
      manifests: manifests.map(orderDescriptor),
      ...(onIndex !== undefined && { annotations: onIndex }),
    };
    const descriptor = await this.#documents.writeNamed(
      { kind: "manifest list", mediaType, bytes: Buffer.from(formatGoJson(index, "  ")) },
      image.input,
      context,
    );
    const onDescriptor = selectAnnotations(image.annotations, "index-descriptor");
    return { ...descriptor, ...(onDescriptor !== undefined && { annotations: onDescriptor }) };
  }
}

interface ManifestWork {
  readonly input: ExportInput;
  readonly platform: ResultPlatform;
  readonly epoch: Epoch | undefined;
  readonly remote: Remote | undefined;
  readonly annotations: readonly Annotation[];
  /** Whether the manifest will be one of an index. */
  readonly isIndex: boolean;
  readonly options: ImageOptions;
}

interface ManifestCommit {
  readonly descriptor: Descriptor;
  readonly configDigest: Digest;
}
