import { availableParallelism } from "node:os";
import type { CompressedSink } from "./compressor.ts";
import { freeBuffer } from "./free-buffer.ts";
import { GzipBlocks } from "./gzip-blocks.ts";

/** Told where a member begins among the compressed bytes, once that is known. */
export type OnMemberStart = (offset: number) => void;

interface Member {
  readonly format: GzipBlocks;
  readonly onStart: OnMemberStart | undefined;
}

interface Job {
  readonly input: Buffer;
  readonly output: Promise<Uint8Array>;
  /** The member that the block is the first of. */
  readonly begins: Member | undefined;
  readonly trailer: Uint8Array | undefined;
}

/** As far back as a deflate match can reach. */
const beforeSize = 32 << 10;

/**
 * Gzip members one after the other, which readers take for one stream, and of which each can be read alone. Their blocks
 * are compressed side by side and written in order; the output depends on the bytes and the cuts alone.
 */
export class GzipMembers implements Disposable {
  readonly #level: number;
  readonly #sink: CompressedSink;
  readonly #maxJobs = Math.min(availableParallelism(), 4) + 1;
  readonly #jobs: Job[] = [];
  readonly #block: Buffer;
  #filled = 0;
  #before: Buffer = Buffer.alloc(0);
  #member: Member | undefined;
  #isFirstBlock = true;
  #written = 0;

  constructor(level: number, sink: CompressedSink) {
    this.#level = level;
    this.#sink = sink;
    this.#block = Buffer.allocUnsafeSlow(new GzipBlocks(level).blockSize);
  }

  /** Compressed bytes so far, once {@linkcode GzipMembers.finish} is done. */
  get writtenBytes(): number {
    return this.#written;
  }

  /** Ends the current member; what is written next begins another one. */
  async begin(onStart?: OnMemberStart): Promise<void> {
    await this.#end();
    this.#member = { format: new GzipBlocks(this.#level), onStart };
    this.#isFirstBlock = true;
    this.#before = Buffer.alloc(0);
  }

  /** Adds to the current member; begins one if there is none. The bytes are copied. */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#member === undefined) await this.begin();
    for (let rest = chunk; rest.length > 0; ) {
      const part = rest.subarray(0, this.#block.length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      rest = rest.subarray(part.length);
      if (this.#filled === this.#block.length) await this.#submit(false);
    }
  }

  /** Ends the current member and waits until all is written. */
  async finish(): Promise<void> {
    await this.#end();
    while (this.#jobs.length > 0) await this.#drainOne();
  }

  [Symbol.dispose](): void {
    this.#jobs.length = 0;
    freeBuffer(this.#block);
  }

  async #end(): Promise<void> {
    if (this.#member !== undefined) await this.#submit(true);
    this.#member = undefined;
  }

  async #submit(last: boolean): Promise<void> {
    const member = this.#member;
    if (member === undefined) return;
    // A copy: the block is filled again while this one is compressed.
    const input = Buffer.from(this.#block.subarray(0, this.#filled));
    member.format.observe(input);
    const output = member.format.compress(input, this.#before, last);
    // A failure is met when the block's turn comes; until then it must not count as unhandled.
    output.catch(() => undefined);
    const trailer = last ? member.format.trailer() : undefined;
    this.#jobs.push({ input, output, trailer, begins: this.#isFirstBlock ? member : undefined });
    this.#isFirstBlock = false;
    // A copy: the block is freed when it is compressed.
    this.#before = last ? Buffer.alloc(0) : Buffer.from(input.subarray(-beforeSize));
    this.#filled = 0;
    while (this.#jobs.length >= this.#maxJobs) await this.#drainOne();
  }

  async #drainOne(): Promise<void> {
    const job = this.#jobs.shift();
    if (job === undefined) return;
    const output = await job.output;
    job.begins?.onStart?.(this.#written);
    for (const bytes of [job.begins?.format.header, output, job.trailer]) {
      if (bytes === undefined) continue;
      this.#written += bytes.length;
      await this.#sink(bytes);
    }
    freeBuffer(job.input);
    freeBuffer(output);
  }
}
