import type { BlobLayer, CacheManager, ImmutableRef, LazyProvider, RecordType } from "@buildkit-ts/cache";
import type { ContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type Digest,
  formatReference,
  isDigest,
  type Platform,
  parseReference,
  type Reference,
  withDefaultTag,
} from "@buildkit-ts/oci";
import { noProgress, withStatus } from "@buildkit-ts/progress";
import { blobSource } from "@buildkit-ts/registry";
import type { Source, SourceCacheKey, SourceContext, SourceInstance, SourceRequest } from "../source.ts";
import { stripScheme } from "../source-attributes.ts";
import type { AttestationChain, ImageMetadata, MetadataRequest } from "../source-metadata.ts";
import { readAttestationChain } from "./attestation-chain.ts";
import { configKey, manifestKey } from "./image-cache-key.ts";
import type { ImageOrigin } from "./image-origin.ts";
import { ImageResolver, type ResolvedImage } from "./image-resolver.ts";
import { RecentResolves } from "./recent-resolves.ts";
import { parseResolveMode, type ResolveMode } from "./resolve-mode.ts";

/** What {@linkcode ImageSource} works with. */
export interface ImageSourceOptions {
  readonly cache: CacheManager;
  readonly content: ContentStore;
  readonly origin: ImageOrigin;
  /** Default `docker-image`. */
  readonly scheme?: "docker-image" | "oci-layout";
}

/** Images (`docker-image://name`). Their layers are fetched only when somebody needs the files. */
export class ImageSource implements Source {
  readonly schemes: readonly string[];
  readonly #services: ImageServices;

  constructor(options: ImageSourceOptions) {
    this.schemes = [options.scheme ?? "docker-image"];
    const resolver = new ImageResolver(options);
    const recent = new RecentResolves(resolver);
    const { cache, content } = options;
    this.#services = { cache, content, resolver, recent, isRegistry: this.schemes[0] === "docker-image" };
  }

  resolve(request: SourceRequest): SourceInstance {
    const reference = parseImageName(stripScheme(request.identifier, this.schemes[0] ?? ""));
    return new ImageInstance(parseImageRequest(reference, request.attributes, request.platform), this.#services);
  }

  /** @throws {BuildError} `not_found`, as `<reference>: not found`. */
  async resolveMetadata(
    request: SourceRequest,
    wanted: MetadataRequest,
    context: SourceContext,
  ): Promise<ImageMetadata> {
    const { identifier, platform, attributes } = request;
    const { resolveMode } = wanted;
    const reference = parseImageName(stripScheme(identifier, this.schemes[0] ?? ""));
    const mode = resolveMode === "" ? {} : { "image.resolvemode": resolveMode };
    const image = parseImageRequest(reference, { ...attributes, ...mode }, platform);
    const resolved = await this.#services.recent.resolve(image, context);
    checkChecksum(resolved, image);
    const wantsChain = wanted.attestationChain || wanted.predicateTypes.length > 0;
    const attestationChain = wantsChain ? await this.#readChain(resolved, { ...wanted, platform }, context) : undefined;
    return { kind: "image", digest: resolved.root.digest, config: resolved.config, attestationChain };
  }

  async #readChain(
    image: ResolvedImage,
    wanted: Pick<MetadataRequest, "predicateTypes"> & { readonly platform: Platform },
    context: SourceContext,
  ): Promise<AttestationChain | undefined> {
    const { resolver } = this.#services;
    const { signal, progress } = context;
    const access = { signal, progress, sessions: () => context.sessions() };
    const origin = {
      provider: resolver.provider(image, access),
      referrers: async (digest: Digest) => await resolver.referrers(image, digest, access),
    };
    return await readAttestationChain(origin, { root: image.root, ...wanted }, { signal });
  }
}

interface ImageServices {
  readonly cache: CacheManager;
  readonly content: ContentStore;
  readonly resolver: ImageResolver;
  readonly recent: RecentResolves;
  /** Whether the names stand for repositories that layers can be mounted from. */
  readonly isRegistry: boolean;
}

interface ImageRequest {
  readonly reference: Reference;
  readonly platform: Platform;
  readonly mode: ResolveMode;
  readonly recordType: RecordType;
  readonly layerLimit: number | undefined;
  readonly checksum: Digest | undefined;
}

class ImageInstance implements SourceInstance {
  readonly #request: ImageRequest;
  readonly #services: ImageServices;
  #image: ResolvedImage | undefined;

  constructor(request: ImageRequest, services: ImageServices) {
    this.#request = request;
    this.#services = services;
  }

  async cacheKey(index: number, context: SourceContext): Promise<SourceCacheKey> {
    const image = await this.#resolve(context);
    const { platform, layerLimit } = this.#request;
    const quick = manifestKey(image, platform, layerLimit);
    const key = index === 0 ? quick : (configKey(image, layerLimit) ?? quick);
    return { key, pin: image.root.digest, done: index > 0 };
  }

  async snapshot(context: SourceContext): Promise<ImmutableRef | undefined> {
    const image = await this.#resolve(context);
    const ref = await this.#refOf(image, context);
    // Without layers there is no record that its documents could go with: they are resolved anew.
    if (ref === undefined) return undefined;
    try {
      await this.#keepMetadata(image, { owner: ref.id, context });
      return ref;
    } catch (error) {
      await ref[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Manifests and config are kept, and go, with the image's last layer. */
  async #keepMetadata(
    { metadata }: ResolvedImage,
    options: { readonly owner: string; readonly context: SourceContext },
  ): Promise<void> {
    const { cache, content } = this.#services;
    await cache.pinBlobs(
      options.owner,
      metadata.map(({ descriptor }) => descriptor.digest),
    );
    for (const { descriptor, bytes } of metadata) {
      await using writer = await content.openWriter({ signal: options.context.signal });
      await writer.write(bytes);
      await writer.commit(descriptor);
    }
  }

  async #refOf(image: ResolvedImage, context: SourceContext): Promise<ImmutableRef | undefined> {
    const { cache, resolver, isRegistry } = this.#services;
    const { layerLimit, recordType } = this.#request;
    const options = {
      signal: context.signal,
      description: `pulled from ${formatReference(image.reference)}`,
      recordType,
    };
    const layers = layersOf(image, isRegistry).slice(0, layerLimit);
    if (layers.length === 0) return undefined;
    // The sessions of whoever needs the bytes: this build's may be long gone by then.
    const lazy: LazyProvider = (session) =>
      resolver.provider(image, { sessions: () => toSessionIds(session), progress: noProgress });
    return await cache.getByLayers(layers, lazy, options);
  }

  async #resolve(context: SourceContext): Promise<ResolvedImage> {
    if (this.#image !== undefined) return this.#image;
    const name = formatReference(this.#request.reference);
    this.#image = await withStatus(context.progress, `resolve ${name}`, async () => {
      const image = await this.#services.recent.resolve(this.#request, context);
      checkChecksum(image, this.#request);
      const { layerLimit } = this.#request;
      if (layerLimit !== undefined && layerLimit > image.layers.length)
        throw new BuildError(
          "invalid_argument",
          `layer limit ${layerLimit} is greater than the number of layers in the image ${image.layers.length}`,
        );
      return image;
    });
    return this.#image;
  }
}

function toSessionIds(session: unknown): readonly string[] {
  return Array.isArray(session) ? session.filter((id) => typeof id === "string") : [];
}

/** Layers with what push needs to know: the repository that has them already. */
function layersOf(image: ResolvedImage, isRegistry: boolean): BlobLayer[] {
  const from = isRegistry ? blobSource(image.reference) : {};
  return image.layers.map((descriptor, index) => {
    const diffId = image.diffIds?.[index];
    if (diffId === undefined)
      throw new BuildError("invalid_argument", `mismatched image rootfs and manifest layers of ${image.root.digest}`);
    return { descriptor: { ...descriptor, annotations: { ...descriptor.annotations, ...from } }, diffId };
  });
}

function checkChecksum(image: ResolvedImage, request: ImageRequest): void {
  const { checksum, reference } = request;
  if (checksum === undefined || checksum === image.root.digest) return;
  throw new BuildError(
    "failed_precondition",
    `image digest ${image.root.digest} for ${formatReference(reference)} does not match expected checksum ${checksum}`,
  );
}

function parseImageName(name: string): Reference {
  return withDefaultTag(parseReference(name));
}

function parseImageRequest(
  reference: Reference,
  attributes: Readonly<Record<string, string>>,
  platform: Platform,
): ImageRequest {
  const recordType = attributes["image.recordtype"] ?? "";
  if (recordType !== "" && recordType !== "regular" && recordType !== "internal" && recordType !== "frontend")
    throw new BuildError("invalid_argument", `invalid record type ${recordType.slice(0, 100)}`);
  const limit = attributes["image.layerlimit"] ?? attributes["oci.layerlimit"];
  if (limit !== undefined && !/^[1-9]\d{0,5}$/.test(limit))
    throw new BuildError("invalid_argument", `invalid layer limit ${limit.slice(0, 100)}`);
  const checksum = attributes["image.checksum"];
  if (checksum !== undefined && !isDigest(checksum))
    throw new BuildError("invalid_argument", `invalid image checksum ${checksum.slice(0, 200)}`);
  return {
    reference,
    platform,
    mode: parseResolveMode(attributes["image.resolvemode"] ?? ""),
    recordType: recordType === "" ? "regular" : recordType,
    layerLimit: limit === undefined ? undefined : Number(limit),
    checksum,
  };
}
