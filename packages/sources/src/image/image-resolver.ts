import { type ContentProvider, type ContentStore, readBlob } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type Descriptor,
  type DiffId,
  type Digest,
  isDigest,
  isIndexType,
  type Platform,
  platformDistance,
  type Reference,
} from "@buildkit-ts/oci";
import type { ImageOrigin, OriginAccess } from "./image-origin.ts";
import { parseObject, refuseSchema1 } from "./manifest-type.ts";
import { parseIndex, parseManifest } from "./parse-manifest.ts";
import type { ResolveMode } from "./resolve-mode.ts";

/** An image for one platform: its manifest and config, its layers where they are. */
export interface ResolvedImage {
  readonly reference: Reference;
  /** What the name stands for; an index, where there are several platforms. */
  readonly root: Descriptor;
  /** The blobs that were read on the way to the layers: indexes, manifest and config. */
  readonly metadata: readonly ImageMetadataBlob[];
  readonly config: Uint8Array;
  readonly layers: readonly Descriptor[];
  /** Of the layers, from the config; undefined for a config that is none of OCI's. */
  readonly diffIds: readonly DiffId[] | undefined;
}

/** A manifest or a config, as its bytes. In the store it would be nobody's until a record names it. */
export interface ImageMetadataBlob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** What {@linkcode ImageResolver.resolve} is asked for. */
export interface ResolveRequest {
  readonly reference: Reference;
  readonly platform: Platform;
  readonly mode: ResolveMode;
}

const maxIndexDepth = 4;

/** Finds images by name and reads their manifests and configs, but no layers. */
export class ImageResolver {
  readonly #content: ContentStore;
  readonly #origin: ImageOrigin;

  constructor(options: { readonly content: ContentStore; readonly origin: ImageOrigin }) {
    this.#content = options.content;
    this.#origin = options.origin;
  }

  /** @throws {BuildError} `not_found`, for a name that nobody knows or an index without the platform. */
  async resolve(request: ResolveRequest, access: OriginAccess): Promise<ResolvedImage> {
    const root = await this.#origin.resolve(request.reference, access);
    return await this.#read(request, root, access);
  }

  /** Where the blobs of a resolved image can be read. */
  provider(image: ResolvedImage, access: Omit<OriginAccess, "signal">): ContentProvider {
    return this.#origin.provider(image.reference, access);
  }

  /** What refers to one of the image's manifests, as its origin lists it. */
  async referrers(image: ResolvedImage, digest: Digest, access: OriginAccess): Promise<readonly Descriptor[]> {
    return (await this.#origin.referrers?.(image.reference, digest, access)) ?? [];
  }

  /** What an earlier pull has left here. */
  async #findBlob(descriptor: Descriptor, access: OriginAccess): Promise<Buffer | undefined> {
    try {
      return await readBlob(this.#content, descriptor, { signal: access.signal });
    } catch (error) {
      // One that was damaged here is read anew where it came from, and stored again.
      if (error instanceof BuildError && ["not_found", "data_loss"].includes(error.code)) return undefined;
      throw error;
    }
  }

  async #read(request: ResolveRequest, root: Descriptor, access: OriginAccess): Promise<ResolvedImage> {
    refuseSchema1(root);
    const { reference, platform } = request;
    const provider = this.#origin.provider(reference, access);
    const metadata: ImageMetadataBlob[] = [];
    const read = async (descriptor: Descriptor): Promise<Buffer> => {
      const bytes = (await this.#findBlob(descriptor, access)) ?? (await readBlob(provider, descriptor, access));
      metadata.push({ descriptor, bytes });
      return bytes;
    };
    const manifest = parseManifest(await read(await chooseManifest(root, { platform, read })));
    const config = await read(manifest.config);
    const diffIds = parseDiffIds(config);
    if (diffIds !== undefined && diffIds.length !== manifest.layers.length)
      throw new BuildError(
        "invalid_argument",
        `mismatched image rootfs and manifest layers ${diffIds.length} ${manifest.layers.length}`,
      );
    return { reference, root, metadata, config, layers: manifest.layers, diffIds };
  }
}

/** The manifest for the platform: of an index the one that serves it best. */
async function chooseManifest(
  root: Descriptor,
  options: { readonly platform: Platform; readonly read: (descriptor: Descriptor) => Promise<Buffer> },
): Promise<Descriptor> {
  let current = root;
  for (let depth = 0; isIndexType(current.mediaType); depth += 1) {
    if (depth === maxIndexDepth)
      throw new BuildError(
        "invalid_argument",
        `Cannot resolve image "${root.digest}": its indexes are nested too deeply`,
      );
    const candidates = parseIndex(await options.read(current)).map((descriptor) => ({
      descriptor,
      distance: distanceOf(descriptor, options.platform),
    }));
    const usable = candidates.filter((one) => one.distance !== undefined);
    const [best] = usable.toSorted((a, b) => (a.distance ?? 0) - (b.distance ?? 0));
    if (best === undefined)
      throw new BuildError("not_found", `no match for platform in manifest ${root.digest}: not found`);
    current = best.descriptor;
  }
  return current;
}

/** Manifests that tell no platform come last. */
function distanceOf(descriptor: Descriptor, wanted: Platform): number | undefined {
  if (descriptor.annotations?.["vnd.docker.reference.type"] !== undefined) return undefined;
  return descriptor.platform === undefined ? Number.MAX_SAFE_INTEGER : platformDistance(wanted, descriptor.platform);
}

function parseDiffIds(config: Uint8Array): DiffId[] | undefined {
  const { rootfs } = parseObject(config);
  if (typeof rootfs !== "object" || rootfs === null) return undefined;
  const { type, diff_ids: ids } = rootfs as Record<string, unknown>;
  if (type !== "layers") return undefined;
  if (ids === undefined || ids === null) return [];
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === "string" && isDigest(id)))
    throw new BuildError("invalid_argument", "failed to resolve rootfs: invalid diff_ids");
  return ids as DiffId[];
}
