import { closeSync, openSync, readSync } from "node:fs";
import { freeBuffer } from "@buildkit-ts/compression";

/** Small enough to be in the processor's cache when it is used. */
const blockBytes = 224 << 10;

/**
 * The bytes of a file, read synchronously and into one block of memory again and again: what is given is valid until more is
 * asked for. The kernel makes every page of a large new block anew, which costs as much as the reading.
 */
export class FileBlocks implements Disposable {
  readonly #fd: number;
  readonly #block = Buffer.allocUnsafeSlow(blockBytes);

  constructor(path: string) {
    this.#fd = openSync(path, "r");
  }

  *[Symbol.iterator](): Generator<Uint8Array, void> {
    for (;;) {
      const count = readSync(this.#fd, this.#block, 0, blockBytes, null);
      if (count === 0) return;
      yield this.#block.subarray(0, count);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    freeBuffer(this.#block);
  }
}
