const minChunkBytes = 64 << 10;
const maxChunkBytes = 1 << 20;

/** The same bytes in chunks that are worth a message each: small ones are joined, large ones cut. */
export async function* rechunk(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    if (chunk.length < minChunkBytes && bytes + chunk.length < maxChunkBytes) {
      waiting.push(chunk);
      bytes += chunk.length;
      if (bytes < minChunkBytes) continue;
    }
    if (bytes > 0) yield Buffer.concat(waiting, bytes);
    if (waiting.at(-1) !== chunk) {
      for (let at = 0; at < chunk.length; at += maxChunkBytes) yield chunk.subarray(at, at + maxChunkBytes);
    }
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting, bytes);
}
