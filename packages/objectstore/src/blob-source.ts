import { Readable } from "node:stream";
import type { ContentProvider } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Descriptor } from "@buildkit-ts/oci";

/** A blob's bytes, or a range of them, as a stream for libraries that send it. Nothing is read before they ask. */
export function blobSource(
  descriptor: Descriptor,
  from: ContentProvider,
  options: { readonly signal: AbortSignal; readonly offset?: number; readonly size?: number },
): Readable {
  return Readable.from(readRange(descriptor, from, options), { objectMode: false, highWaterMark: 1 << 20 });
}

async function* readRange(
  descriptor: Descriptor,
  from: ContentProvider,
  options: { readonly signal: AbortSignal; readonly offset?: number; readonly size?: number },
): AsyncGenerator<Uint8Array, void> {
  const { signal, offset = 0, size = descriptor.size - offset } = options;
  let left = size;
  // Empty ranges too must be opened: a lost blob shall not be stored as an empty one.
  for await (const chunk of await from.open(descriptor, { signal, ...(offset > 0 && { offset }) })) {
    const taken = chunk.subarray(0, left);
    left -= taken.length;
    if (taken.length > 0) yield taken;
    if (left === 0) break;
  }
  if (left > 0)
    throw new BuildError("data_loss", `Cannot read blob "${descriptor.digest}": it ended ${left} bytes early`);
}
