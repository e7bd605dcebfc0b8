import { BuildError } from "@buildkit-ts/errdefs";
import { BlockCompressor } from "./block-compressor.ts";
import { GzipBlocks } from "./gzip-blocks.ts";
import { ZstdBlocks } from "./zstd-blocks.ts";

/** How bytes are compressed; the level is 0 to 9 for gzip (default 6) and 0 to 22 for zstd (default 3, which 0 means too). */
export interface CompressionSetting {
  readonly type: "uncompressed" | "gzip" | "zstd";
  readonly level?: number;
}

/** Receives compressed bytes in their order. The chunk is the receiver's until its promise is done. */
export type CompressedSink = (chunk: Uint8Array) => void | Promise<void>;

/**
 * A stream that is being compressed. The output depends on the bytes and the setting alone: neither on how they were
 * cut into writes nor on the machine's number of cores.
 *
 * One write at a time; `write` gives a promise only where the caller must wait before the next one. Disposal without
 * `finish` drops what was not written yet.
 */
export interface Compressor extends Disposable {
  /** The bytes are copied or used up when the call, and the promise it may give, are done. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  finish(): Promise<void>;
}

/**
 * Compresses on the threads of libuv's pool: meant for a worker thread that produces the bytes meanwhile.
 *
 * @throws {BuildError} `invalid_argument`, for a level that is out of range.
 */
export function createCompressor(setting: CompressionSetting, sink: CompressedSink): Compressor {
  const { type, level } = setting;
  const maximum = { uncompressed: Number.MAX_SAFE_INTEGER, gzip: 9, zstd: 22 }[type];
  if (level !== undefined && !(Number.isInteger(level) && level >= 0 && level <= maximum)) {
    throw new BuildError("invalid_argument", `Cannot compress with ${type} "level ${level}": not in 0 to ${maximum}`);
  }
  if (type === "gzip") return new BlockCompressor(new GzipBlocks(level ?? 6), { sink });
  if (type === "zstd") return new BlockCompressor(new ZstdBlocks(level ?? 3), { sink });
  return {
    write: (chunk) => sink(chunk) ?? undefined,
    finish: () => Promise.resolve(),
    [Symbol.dispose]: () => undefined,
  };
}

/** Compresses a stream; for bulk data prefer {@linkcode createCompressor} in a worker thread. */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  setting: CompressionSetting,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  const ready: Uint8Array[] = [];
  using compressor = createCompressor(setting, (chunk) => {
    ready.push(Buffer.from(chunk));
  });
  for await (const chunk of source) {
    options.signal.throwIfAborted();
    await compressor.write(chunk);
    yield* ready.splice(0);
  }
  await compressor.finish();
  yield* ready.splice(0);
}
