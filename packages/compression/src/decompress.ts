import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BuildError } from "@buildkit-ts/errdefs";
import { detectCompression, detectionLength } from "./detect-compression.ts";

/** Blocks of 256 KiB are mapped by the allocator each for itself, and the kernel makes their pages anew every time. */
const outputChunk = 224 << 10;

export interface DecompressOptions {
  readonly signal: AbortSignal;
}

/**
 * The bytes of a gzip, zstd or uncompressed stream, told apart by their first bytes, never by a name or media type.
 * Several gzip members or zstd frames one after the other are one stream. A chunk of the source is used up when the next one is
 * asked for, unless it is shorter than the bytes by which streams are told apart.
 *
 * @throws {BuildError} `invalid_argument`, for damaged or cut-off streams; `unimplemented`, for bzip2 and xz.
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  options: DecompressOptions,
): AsyncGenerator<Uint8Array, void> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array();
  try {
    let ended = false;
    while (head.length < detectionLength && !ended) {
      const next = await iterator.next();
      options.signal.throwIfAborted();
      if (next.done === true) ended = true;
      else head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
    }
    yield* decode(head, iterator, options);
  } finally {
    await iterator.return?.();
  }
}

async function* decode(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  { signal }: DecompressOptions,
): AsyncGenerator<Uint8Array, void> {
  const type = detectCompression(head);
  const whole = chain(head, rest, signal);
  if (type === "uncompressed") return yield* whole;
  if (type === "bzip2" || type === "xz") {
    throw new BuildError("unimplemented", `Cannot decompress "${type}" stream: only gzip and zstd are supported`);
  }
  const decoder =
    type === "gzip" ? createGunzip({ chunkSize: outputChunk }) : createZstdDecompress({ chunkSize: outputChunk });
  let inputFailure: { readonly error: unknown } | undefined;
  const feeding = feed(decoder, whole).catch((error: unknown) => {
    inputFailure = { error };
    decoder.destroy(error as Error);
  });
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array;
  } catch (error) {
    if (inputFailure !== undefined) throw inputFailure.error;
    if (!isZlibFailure(error)) throw error;
    throw new BuildError("invalid_argument", `Cannot decompress "${type}" stream: ${error.message}`, { cause: error });
  } finally {
    decoder.destroy();
    await feeding;
  }
}

/** Gives a decoder all of its input. Ends without an error if the decoder fails or nobody reads from it any more. */
async function feed(decoder: Transform, input: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of input) if (!(await isTaken(decoder, chunk))) return;
  decoder.end();
}

/** Waits until all of a chunk was decoded; false if it never will be. */
async function isTaken(decoder: Transform, chunk: Uint8Array): Promise<boolean> {
  if (decoder.destroyed) return false;
  return await new Promise((resolve) => {
    const onClose = (): void => resolve(false);
    decoder.once("close", onClose);
    decoder.write(chunk, (error) => {
      decoder.off("close", onClose);
      resolve(error === null || error === undefined);
    });
  });
}

async function* chain(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    signal.throwIfAborted();
    yield next.value;
  }
}

function isZlibFailure(error: unknown): error is Error {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^(Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(error.code)
  );
}
