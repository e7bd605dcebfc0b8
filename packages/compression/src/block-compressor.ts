import { availableParallelism } from "node:os";
import type { CompressedSink, Compressor } from "./compressor.ts";
import { freeBuffer } from "./free-buffer.ts";

/** How single blocks are compressed and joined. */
export interface BlockFormat {
  readonly blockSize: number;
  /** Bytes before the first block. */
  readonly header: Uint8Array;
  /** Sees each block in order, before it is compressed; runs on the caller's thread. */
  observe(block: Buffer): void;
  /**
   * Starts to compress a block. `before` is the end of the block before it (empty for the first one) and is only valid
   * during the call. The last block may be empty.
   */
  compress(block: Buffer, before: Buffer, last: boolean): Promise<Uint8Array>;
  /** Bytes after the last block. */
  trailer(): Uint8Array;
}

/** As far back as a deflate match can reach. */
const beforeSize = 32 << 10;

/**
 * Cuts a stream into blocks that are compressed side by side and written in order. The boundaries are fixed, hence the
 * output does not depend on how many are compressed at a time.
 */
export class BlockCompressor implements Compressor {
  readonly #format: BlockFormat;
  readonly #sink: CompressedSink;
  readonly #maxJobs: number;
  readonly #jobs: Promise<Uint8Array>[] = [];
  readonly #freeBlocks: Buffer[] = [];
  #block: Buffer;
  #filled = 0;
  #before: Buffer = Buffer.alloc(0);
  #headerWritten = false;

  /** @param options.maxJobs Default one more than cores, so that no core waits while a finished block is written. */
  constructor(format: BlockFormat, options: { readonly sink: CompressedSink; readonly maxJobs?: number }) {
    this.#format = format;
    this.#sink = options.sink;
    this.#maxJobs = options.maxJobs ?? Math.min(availableParallelism(), 4) + 1;
    this.#block = Buffer.allocUnsafeSlow(format.blockSize);
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#filled + chunk.length >= this.#format.blockSize) return this.#writeBlocks(chunk);
    this.#copy(chunk);
    return undefined;
  }

  async finish(): Promise<void> {
    this.#submit(true);
    while (this.#jobs.length > 0) await this.#drainOne();
    await this.#sink(this.#format.trailer());
  }

  [Symbol.dispose](): void {
    this.#jobs.length = 0;
    // Those that are being compressed still stay.
    for (const block of this.#freeBlocks.splice(0)) freeBuffer(block);
  }

  async #writeBlocks(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (this.#filled + rest.length >= this.#format.blockSize) {
      const room = this.#format.blockSize - this.#filled;
      this.#copy(rest.subarray(0, room));
      rest = rest.subarray(room);
      this.#submit(false);
      while (this.#jobs.length >= this.#maxJobs) await this.#drainOne();
    }
    this.#copy(rest);
  }

  #copy(chunk: Uint8Array): void {
    this.#block.set(chunk, this.#filled);
    this.#filled += chunk.length;
  }

  #submit(last: boolean): void {
    const block = this.#block;
    const input = block.subarray(0, this.#filled);
    this.#format.observe(input);
    const job = this.#run(block, input, last);
    // A failure is met when the block's turn comes; until then it must not count as unhandled.
    job.catch(() => undefined);
    this.#jobs.push(job);
    if (last) return;
    // A copy, because the block is used again once it is compressed.
    this.#before = Buffer.from(block.subarray(-beforeSize));
    this.#block = this.#freeBlocks.pop() ?? Buffer.allocUnsafeSlow(this.#format.blockSize);
    this.#filled = 0;
  }

  async #run(block: Buffer, input: Buffer, last: boolean): Promise<Uint8Array> {
    const output = await this.#format.compress(input, this.#before, last);
    this.#freeBlocks.push(block);
    return output;
  }

  async #drainOne(): Promise<void> {
    const output = await this.#jobs.shift();
    if (output === undefined) return;
    if (!this.#headerWritten) {
      this.#headerWritten = true;
      await this.#sink(this.#format.header);
    }
    await this.#sink(output);
    freeBuffer(output);
  }
}
