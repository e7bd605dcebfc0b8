import { promisify } from "node:util";
import { constants, type ZstdOptions, zstdCompress } from "node:zlib";
import type { BlockFormat } from "./block-compressor.ts";

const compressFrame = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress);

/** Decoders need not accept larger windows (RFC 8878, section 3.1.1.1.2), and it bounds our memory at high levels. */
const maxWindowLog = 23;

/**
 * Blocks that are zstd frames of their own, which decoders read one after the other as one stream (RFC 8878, section 3).
 *
 * zstd's own threads (`nbWorkers`) would give one frame, but Node's zlib streams take it for the end of the data when
 * zstd leaves input for later, as it does while all its threads are busy: the output is cut off.
 */
export class ZstdBlocks implements BlockFormat {
  readonly blockSize: number = 8 << 20;
  readonly header: Uint8Array = new Uint8Array();
  readonly #level: number;
  #empty = true;

  constructor(level: number) {
    // zstd takes 0 for its default.
    this.#level = level === 0 ? 3 : level;
  }

  observe(block: Buffer): void {
    if (block.length > 0) this.#empty = false;
  }

  async compress(block: Buffer, _before: Buffer, _last: boolean): Promise<Uint8Array> {
    // The empty rest after full blocks needs no frame; an empty stream does.
    if (block.length === 0 && !this.#empty) return new Uint8Array();
    return await compressFrame(block, {
      chunkSize: Math.max(64 << 10, block.length >> 1),
      pledgedSrcSize: block.length,
      params: {
        [constants.ZSTD_c_compressionLevel]: this.#level,
        [constants.ZSTD_c_checksumFlag]: 1,
        ...(this.#level >= 17 && { [constants.ZSTD_c_windowLog]: maxWindowLog }),
      },
    });
  }

  trailer(): Uint8Array {
    return new Uint8Array();
  }
}
