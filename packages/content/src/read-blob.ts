import { BuildError } from "@buildkit-ts/errdefs";
import { type Descriptor, digestOf } from "@buildkit-ts/oci";
import type { ContentProvider } from "./content-store.ts";
import { repeatDamaged } from "./repeat-damaged.ts";

/**
 * A small blob in one piece, verified: a manifest, an image config.
 *
 * @throws {BuildError} `not_found`; `data_loss`, if size or digest differ; `resource_exhausted` above `maxBytes`
 *   (32 MiB by default).
 */
export async function readBlob(
  provider: ContentProvider,
  descriptor: Descriptor,
  options: { readonly signal: AbortSignal; readonly maxBytes?: number },
): Promise<Buffer> {
  const { maxBytes = 32 << 20 } = options;
  if (descriptor.size > maxBytes)
    throw new BuildError(
      "resource_exhausted",
      `Cannot read blob "${descriptor.digest}": ${descriptor.size} bytes are more than ${maxBytes}`,
    );
  return await repeatDamaged(async () => await readOnce(provider, descriptor, options), options);
}

async function readOnce(
  provider: ContentProvider,
  descriptor: Descriptor,
  { signal }: { readonly signal: AbortSignal },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of await provider.open(descriptor, { signal })) {
    signal.throwIfAborted();
    size += chunk.byteLength;
    if (size > descriptor.size) break;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (size !== descriptor.size || digestOf(bytes) !== descriptor.digest)
    throw new BuildError("data_loss", `Cannot read blob "${descriptor.digest}": its bytes are others`);
  return bytes;
}
