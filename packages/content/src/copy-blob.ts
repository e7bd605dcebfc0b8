import type { Descriptor } from "@buildkit-ts/oci";
import type { BlobInfo, ContentProvider, ContentStore } from "./content-store.ts";
import { repeatDamaged } from "./repeat-damaged.ts";

/** From here on a thread of its own is worth its messages. */
const manyBytes = 1 << 20;

/**
 * Brings a blob from a provider into a store, verified, unless the store has it.
 *
 * @param options.onProgress Told the number of bytes that have arrived.
 * @throws {BuildError} `data_loss`, if the provider's bytes are not the descriptor's.
 */
export async function copyBlob(
  from: ContentProvider,
  to: ContentStore,
  options: {
    readonly signal: AbortSignal;
    readonly descriptor: Descriptor;
    readonly onProgress?: (bytes: number) => void;
  },
): Promise<BlobInfo> {
  const present = await to.findIntact(options.descriptor.digest);
  if (present !== undefined) return present;
  return await repeatDamaged(async () => await copy(from, to, options), options);
}

async function copy(
  from: ContentProvider,
  to: ContentStore,
  { signal, descriptor, onProgress }: Parameters<typeof copyBlob>[2],
): Promise<BlobInfo> {
  const takesChunks = descriptor.size >= manyBytes;
  await using writer = await to.openWriter({ signal, ref: descriptor.digest, takesChunks });
  let bytes = writer.offset;
  for await (const chunk of await from.open(descriptor, { signal, offset: writer.offset })) {
    // Counted first: a writer that takes the chunk leaves it empty.
    bytes += chunk.byteLength;
    await writer.write(chunk);
    onProgress?.(bytes);
  }
  return await writer.commit({ digest: descriptor.digest, size: descriptor.size });
}
