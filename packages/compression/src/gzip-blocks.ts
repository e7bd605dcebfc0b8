import { promisify } from "node:util";
import { constants, crc32, deflateRaw, type ZlibOptions } from "node:zlib";
import type { BlockFormat } from "./block-compressor.ts";

const deflateBlock = promisify<Uint8Array, ZlibOptions, Buffer>(deflateRaw);

/**
 * Blocks of one gzip member. Each is primed with the 32 KiB before it and ends with a sync flush, so that joined they
 * are one deflate stream, hardly larger than one made serially.
 */
export class GzipBlocks implements BlockFormat {
  readonly blockSize: number = 1 << 20;
  /** Magic, deflate, no flags, no time, no hint of the level, unknown operating system (RFC 1952). */
  readonly header: Uint8Array = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);
  readonly #level: number;
  #crc = 0;
  #size = 0;

  constructor(level: number) {
    this.#level = level;
  }

  observe(block: Buffer): void {
    this.#crc = crc32(block, this.#crc);
    this.#size += block.length;
  }

  async compress(block: Buffer, before: Buffer, last: boolean): Promise<Uint8Array> {
    return await deflateBlock(block, {
      level: this.#level,
      chunkSize: this.blockSize,
      finishFlush: last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
      ...(before.length > 0 && { dictionary: before }),
    });
  }

  trailer(): Uint8Array {
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#crc, 0);
    trailer.writeUInt32LE(this.#size % 2 ** 32, 4);
    return trailer;
  }
}
