import { BuildError } from "@buildkit-ts/errdefs";

/** What an archive may become when it is unpacked; 0 is no limit. */
export interface UnpackLimits {
  /** How many times as large as it is packed. */
  readonly maxRatio: number;
  /** So many bytes are always allowed, however small the archive is. */
  readonly allowanceBytes: number;
  readonly maxEntries: number;
}

/** Far above what images hold, and far below what a bomb becomes. */
export const defaultUnpackLimits: UnpackLimits = {
  maxRatio: 1000,
  allowanceBytes: 16e9,
  maxEntries: 10_000_000,
};

/** Counts what comes out of one archive, and stops it where that is more than a few bytes can have meant. */
export class UnpackBudget {
  readonly #limits: UnpackLimits;
  readonly #maxBytes: number;
  #bytes = 0;
  #entries = 0;

  constructor(limits: UnpackLimits, packedBytes: number) {
    this.#limits = limits;
    this.#maxBytes = limits.maxRatio === 0 ? Infinity : Math.max(limits.allowanceBytes, limits.maxRatio * packedBytes);
  }

  /** @throws {BuildError} `resource_exhausted`. */
  addBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes <= this.#maxBytes) return;
    throw new BuildError(
      "resource_exhausted",
      `Cannot unpack archive: it becomes larger than ${this.#maxBytes} bytes, more than ${this.#limits.maxRatio} times its size`,
      { hint: "If it is meant to, raise maxRatio or allowance in [unpack] of the daemon's configuration" },
    );
  }

  /** @throws {BuildError} `resource_exhausted`. */
  addEntry(): void {
    const { maxEntries } = this.#limits;
    this.#entries += 1;
    if (maxEntries === 0 || this.#entries <= maxEntries) return;
    throw new BuildError("resource_exhausted", `Cannot unpack archive: it has more than ${maxEntries} entries`, {
      hint: "If it is meant to, raise maxEntries in [unpack] of the daemon's configuration",
    });
  }
}
