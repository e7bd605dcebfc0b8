import type { ContentStore } from "@buildkit-ts/content";
import { type Descriptor, digestOf } from "@buildkit-ts/oci";

/** Stores a small blob; one that is there already is left alone. */
export async function writeBlob(
  content: ContentStore,
  blob: { readonly mediaType: string; readonly bytes: Uint8Array },
  options: { readonly signal: AbortSignal },
): Promise<Descriptor> {
  const { mediaType, bytes } = blob;
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  if ((await content.findIntact(descriptor.digest)) !== undefined) return descriptor;
  await using writer = await content.openWriter({ signal: options.signal });
  await writer.write(bytes);
  await writer.commit({ digest: descriptor.digest, size: descriptor.size });
  return descriptor;
}
