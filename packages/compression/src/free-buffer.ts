/**
 * Gives the memory of a large buffer back at once. Nobody may use it any more, no work on another thread either.
 *
 * V8 knows little of what lies outside of its heaps: a thread with a small heap lets megabytes of buffers lie for minutes.
 */
export function freeBuffer({ buffer }: Uint8Array): void {
  // Small buffers are cut from larger ones that others use, which have a little more than that.
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= 2 * Buffer.poolSize) buffer.transfer(0);
}
