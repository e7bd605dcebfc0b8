import { BuildError } from "@buildkit-ts/errdefs";

/** Reads the encoding of SSH's messages (RFC 4251): 32-bit numbers, and fields with their length before them. */
export class SshWireReader {
  #rest: Buffer;

  constructor(bytes: Uint8Array) {
    this.#rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** @throws {BuildError} `invalid_argument`, if there are fewer. */
  bytes(count: number): Buffer {
    if (count > this.#rest.length) throw new BuildError("invalid_argument", "Cannot read SSH data: it is cut short");
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

  text(): string {
    return this.field().toString("utf8");
  }

  /** A number without the zero byte that stands before a high bit. */
  number(): Buffer {
    const bytes = this.field();
    const start = bytes.findIndex((byte) => byte !== 0);
    return start < 0 ? Buffer.alloc(0) : bytes.subarray(start);
  }

  rest(): Buffer {
    return this.bytes(this.#rest.length);
  }
}

/** A field as {@linkcode SshWireReader} reads it. */
export function sshField(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A number as a field, with a zero byte before a high bit. */
export function sshNumber(value: Uint8Array): Buffer {
  const start = value.findIndex((byte) => byte !== 0);
  const bytes = start < 0 ? new Uint8Array() : value.subarray(start);
  return sshField((bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}
