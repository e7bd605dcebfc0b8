import { BuildError } from "@buildkit-ts/errdefs";

/** Reads the encoding of SSH's messages: 32-bit numbers, and fields with their length before them. */
export class WireReader {
  #rest: Buffer;

  constructor(bytes: Uint8Array) {
    this.#rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** @throws {BuildError} `invalid_argument`, if there are fewer. */
  bytes(count: number): Buffer {
    if (count > this.#rest.length)
      throw new BuildError("invalid_argument", "failed to parse ssh signature: it is cut short");
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE(0);
  }

  field(): Buffer {
    return this.bytes(this.uint32());
  }

  rest(): Buffer {
    return this.bytes(this.#rest.length);
  }
}
