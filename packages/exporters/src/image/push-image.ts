import { TaskGroup } from "@buildkit-ts/async";
import { type ContentProvider, readBlob } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type Descriptor,
  formatReference,
  isIndexType,
  isManifestType,
  parseReference,
  withDefaultTag,
} from "@buildkit-ts/oci";
import { type ProgressWriter, withStatus } from "@buildkit-ts/progress";
import { blobRepositories, type CredentialSource, type RegistryClient } from "@buildkit-ts/registry";
import { listBlobs } from "../archive/image-archive.ts";
import { isNonDistributable } from "./layer-media-type.ts";

/** What is pushed where. */
export interface PushRequest {
  readonly image: Descriptor;
  /** Reads all blobs, also layers that are still in another registry. */
  readonly content: ContentProvider;
  /** Layers as the cache knows them, for the repositories that have them already. */
  readonly layers: readonly Descriptor[];
  /** Where to, without a digest. */
  readonly name: string;
  /** Pushes without a tag. */
  readonly byDigest: boolean;
  /** Plain HTTP and unverified TLS are allowed. */
  readonly insecure: boolean;
  readonly credentials: CredentialSource;
}

/**
 * Pushes an image: blobs side by side, then manifests, children before parents, the tag last.
 *
 * @throws {BuildError} `invalid_argument`, for a tagged name to be pushed by digest.
 */
export async function pushImage(
  registry: RegistryClient,
  request: PushRequest,
  options: { readonly signal: AbortSignal; readonly progress: ProgressWriter },
): Promise<void> {
  const { image, content } = request;
  const { progress } = options;
  const reference = parseReference(request.name);
  if (request.byDigest && (reference.tag !== undefined || reference.digest !== undefined))
    throw new BuildError("invalid_argument", `can't push tagged ref ${formatReference(reference)} by digest`);
  const { domain, path, tag } = request.byDigest ? reference : withDefaultTag(reference);
  const target = { domain, path, ...(tag !== undefined && { tag }) };
  const settings = { credentials: request.credentials, ...(request.insecure && { insecure: true }) };
  const blobs = await listBlobs(content, image, options);
  const isParent = (blob: Descriptor): boolean => isIndexType(blob.mediaType) || isManifestType(blob.mediaType);
  const shown = `${domain}/${path}${tag === undefined ? "" : `:${tag}@${image.digest}`}`;
  await withStatus(progress, "pushing layers", async () => {
    await using group = new TaskGroup({ signal: options.signal });
    for (const descriptor of blobs.filter((blob) => !isParent(blob) && !isNonDistributable(blob.mediaType))) {
      const known = request.layers.filter(({ digest }) => digest === descriptor.digest);
      const mountFrom = blobRepositories(known, target);
      group.run(async (signal) => {
        await registry.pushBlob(target, { descriptor, source: content, mountFrom }, { ...settings, signal });
      });
    }
    await group.join();
  });
  await withStatus(progress, `pushing manifest for ${shown}`, async () => {
    const manifests = blobs.filter((blob) => isManifestType(blob.mediaType));
    // In their order: attestations name the images before them.
    for (const descriptor of [...manifests, ...blobs.filter((blob) => isIndexType(blob.mediaType)).toReversed()]) {
      const bytes = await readBlob(content, descriptor, options);
      // Those that an index names have no tag of their own.
      const place = descriptor === image ? target : { domain, path };
      await registry.pushManifest(place, { descriptor, bytes }, { ...settings, signal: options.signal });
    }
  });
}
