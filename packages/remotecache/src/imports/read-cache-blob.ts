import { type ContentProvider, readBlob } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";

/** Larger manifests and configs are refused. */
const maxCacheBlobBytes = 1 << 20;

/** A small blob of a cache. @throws {BuildError} `resource_exhausted`, for more than 1 MiB. */
export async function readCacheBlob(
  descriptor: Descriptor,
  provider: ContentProvider,
  options: { readonly signal: AbortSignal },
): Promise<Buffer> {
  const { digest, size } = descriptor;
  if (size > maxCacheBlobBytes) {
    throw new BuildError("resource_exhausted", `blob ${digest} is too large (${size} > ${maxCacheBlobBytes})`);
  }
  return await readBlob(provider, descriptor, options);
}
