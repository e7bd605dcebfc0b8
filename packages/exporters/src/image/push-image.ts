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
import { listBlobs } from "../archive/image-archive.ts";
import { isNonDistributable, sourceAnnotationPrefix } from "./layer-media-type.ts";

/** A repository that can be written to. */
export interface PushTarget {
  /** Uploads a blob unless it is there; tries to take it from these repositories of the same registry first. */
  pushBlob(
    blob: { readonly descriptor: Descriptor; readonly content: ContentProvider; readonly mountFrom: readonly string[] },
    options: { readonly signal: AbortSignal; readonly progress: ProgressWriter },
  ): Promise<void>;
  /** Uploads a manifest under its digest, or a tag. */
  pushManifest(
    manifest: { readonly descriptor: Descriptor; readonly bytes: Uint8Array; readonly tag: string | undefined },
    options: { readonly signal: AbortSignal; readonly progress: ProgressWriter },
  ): Promise<void>;
}

/** How the exporter reaches registries. */
export interface PushTargets {
  /**
   * @param options.sessions Sessions whose credentials may be used.
   * @param options.insecure Plain HTTP and unverified TLS are allowed.
   */
  open(
    repository: { readonly domain: string; readonly path: string },
    options: {
      readonly sessions: () => readonly string[];
      readonly insecure: boolean;
      readonly progress: ProgressWriter;
    },
  ): PushTarget;
}

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
  readonly insecure: boolean;
  readonly sessions: () => readonly string[];
}

/**
 * Pushes an image: blobs side by side, then manifests, children before parents, the tag last.
 *
 * @throws {BuildError} `invalid_argument`, for a tagged name to be pushed by digest.
 */
export async function pushImage(
  targets: PushTargets,
  request: PushRequest,
  options: { readonly signal: AbortSignal; readonly progress: ProgressWriter },
): Promise<void> {
  const { image, content } = request;
  const { progress } = options;
  const reference = parseReference(request.name);
  if (request.byDigest && (reference.tag !== undefined || reference.digest !== undefined))
    throw new BuildError("invalid_argument", `can't push tagged ref ${formatReference(reference)} by digest`);
  const { domain, path, tag } = request.byDigest ? reference : withDefaultTag(reference);
  const target = targets.open({ domain, path }, { sessions: request.sessions, insecure: request.insecure, progress });
  const blobs = await listBlobs(content, image, options);
  const isParent = (blob: Descriptor): boolean => isIndexType(blob.mediaType) || isManifestType(blob.mediaType);
  const shown = `${domain}/${path}${tag === undefined ? "" : `:${tag}@${image.digest}`}`;
  await withStatus(progress, "pushing layers", async () => {
    await using group = new TaskGroup({ signal: options.signal });
    for (const descriptor of blobs.filter((blob) => !isParent(blob) && !isNonDistributable(blob.mediaType))) {
      const mountFrom = knownRepositories(descriptor, { layers: request.layers, domain, path });
      group.run(async (signal) => await target.pushBlob({ descriptor, content, mountFrom }, { signal, progress }));
    }
    await group.join();
  });
  await withStatus(progress, `pushing manifest for ${shown}`, async () => {
    for (const descriptor of blobs.filter(isParent).toReversed()) {
      const bytes = await readBlob(content, descriptor, options);
      await target.pushManifest({ descriptor, bytes, tag: descriptor === image ? tag : undefined }, options);
    }
  });
}

/** Other repositories of the registry that are known to have the blob, the most promising first. */
function knownRepositories(
  blob: Descriptor,
  options: { readonly layers: readonly Descriptor[]; readonly domain: string; readonly path: string },
): string[] {
  const key = `${sourceAnnotationPrefix}${options.domain}`;
  const known = options.layers
    .filter((layer) => layer.digest === blob.digest)
    .flatMap((layer) => layer.annotations?.[key]?.split(",") ?? []);
  const common = (path: string): number => {
    const [a, b] = [path.split("/"), options.path.split("/")];
    const differs = a.findIndex((part, index) => part !== b[index]);
    return differs < 0 ? a.length : differs;
  };
  return [...new Set(known)]
    .filter((path) => path !== "" && path !== options.path)
    .toSorted((a, b) => common(b) - common(a))
    .slice(0, 3);
}
