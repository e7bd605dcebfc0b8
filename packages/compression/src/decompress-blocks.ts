import { BuildError } from "@buildkit-ts/errdefs";
import { BlockingDecoder } from "./blocking-decoder.ts";
import { detectCompression, detectionLength } from "./detect-compression.ts";
import { freeBuffer } from "./free-buffer.ts";

/** Small enough to be in the processor's cache when it is hashed and written. */
const outputBytes = 224 << 10;

/**
 * As {@linkcode decompress}, on the calling thread, which must be one that may block. A chunk of either side is valid until the
 * next one is asked for: the same memory holds all of them.
 *
 * @throws {BuildError} `invalid_argument`, for damaged or cut-off streams; `unimplemented`, for bzip2 and xz.
 */
export function* decompressBlocks(source: Iterable<Uint8Array>): Generator<Uint8Array, void> {
  const iterator = source[Symbol.iterator]();
  try {
    const head = readHead(iterator);
    const type = detectCompression(head);
    if (type === "bzip2" || type === "xz")
      throw new BuildError("unimplemented", `Cannot decompress "${type}" stream: only gzip and zstd are supported`);
    if (type === "uncompressed") yield* chain(head, iterator);
    else yield* decode(type, chain(head, iterator));
  } finally {
    iterator.return?.();
  }
}

function* decode(type: "gzip" | "zstd", input: Iterable<Uint8Array>): Generator<Uint8Array, void> {
  const output = Buffer.allocUnsafeSlow(outputBytes);
  try {
    using decoder = new BlockingDecoder(type, output);
    for (const chunk of input) {
      yield* decoder.write(chunk);
      if (decoder.isOver) break;
    }
    yield* decoder.finish();
  } finally {
    freeBuffer(output);
  }
}

/** As many chunks as tell streams apart. */
function readHead(iterator: Iterator<Uint8Array>): Uint8Array {
  let head: Uint8Array = new Uint8Array();
  while (head.length < detectionLength) {
    const next = iterator.next();
    if (next.done === true) break;
    head = head.length === 0 && next.value.length >= detectionLength ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

function* chain(head: Uint8Array, rest: Iterator<Uint8Array>): Generator<Uint8Array, void> {
  if (head.length > 0) yield head;
  for (let next = rest.next(); next.done !== true; next = rest.next()) yield next.value;
}
