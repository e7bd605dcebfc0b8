import { endianness } from "node:os";
import { BuildError } from "@buildkit-ts/errdefs";
import { decodeBytes } from "@buildkit-ts/tar";

// A number of 64 bits is put together from its halves: one `bigint` is made of it instead of twenty.
const int64 = new BigInt64Array(1);
const [lowHalf, highHalf] = endianness() === "LE" ? [0, 1] : [1, 0];
const halves = new Int32Array(int64.buffer);

/** Reads one protobuf message field by field, where it lies. */
export class FieldReader {
  readonly #data: Buffer;
  readonly #end: number;
  #offset: number;
  #wireType = 0;
  field: number = 0;

  constructor(data: Buffer, range: { readonly start: number; readonly end: number } = { start: 0, end: data.length }) {
    this.#data = data;
    this.#offset = range.start;
    this.#end = range.end;
  }

  next(): boolean {
    if (this.#offset >= this.#end) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.#wireType = tag % 8;
    return true;
  }

  number(): number {
    if (this.#wireType !== 0) throw malformed();
    return this.#varint();
  }

  int64(): bigint {
    this.#readHalves();
    return int64[0] ?? 0n;
  }

  /** An int64 as a number: exact, if it is a safe integer. */
  integer(): number {
    this.#readHalves();
    return (halves[highHalf] ?? 0) * 2 ** 32 + ((halves[lowHalf] ?? 0) >>> 0);
  }

  bytes(): Buffer {
    const { start, end } = this.#range();
    return this.#data.subarray(start, end);
  }

  /** Of a file; what is no UTF-8 in it is escaped. */
  name(): string {
    const { start, end } = this.#range();
    for (let offset = start; offset < end; offset += 1) {
      if ((this.#data[offset] ?? 0) >= 0x80) return decodeBytes(this.#data.subarray(start, end));
    }
    return this.#data.toString("latin1", start, end);
  }

  nested(): FieldReader {
    return new FieldReader(this.#data, this.#range());
  }

  skip(): void {
    if (this.#wireType === 0) this.#readHalves();
    else if (this.#wireType === 1) this.#offset += 8;
    else if (this.#wireType === 2) this.#range();
    else if (this.#wireType === 5) this.#offset += 4;
    else throw malformed();
  }

  #range(): { readonly start: number; readonly end: number } {
    if (this.#wireType !== 2) throw malformed();
    const length = this.#varint();
    const start = this.#offset;
    const end = start + length;
    if (end > this.#end) throw malformed();
    this.#offset = end;
    return { start, end };
  }

  #readHalves(): void {
    if (this.#wireType !== 0) throw malformed();
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      // The fifth byte has bits of both halves.
      if (shift === 28) high |= bits >>> 4;
      else if (shift > 28 && shift < 64) high |= bits << (shift - 32);
      if (byte < 0x80) {
        halves[lowHalf] = low;
        halves[highHalf] = high;
        return;
      }
    }
    throw malformed();
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 53; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw malformed();
  }

  #byte(): number {
    const byte = this.#offset < this.#end ? this.#data[this.#offset] : undefined;
    if (byte === undefined) throw malformed();
    this.#offset += 1;
    return byte;
  }
}

function malformed(): BuildError {
  return new BuildError("invalid_argument", "Cannot read packet: malformed protobuf");
}
