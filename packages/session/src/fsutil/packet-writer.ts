import { encodeBytes } from "@buildkit-ts/tar";
import { framePrefixBytes } from "../wire/grpc-frames.ts";
import type { FileStat } from "./file-stat.ts";

/** Builds framed packets (with gRPC's prefix), several in one buffer. */
export class PacketWriter {
  #buffer: Buffer;
  #length = 0;

  /** @param capacity Bytes; more are found when they are needed. */
  constructor(capacity: number = 64 << 10) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  stat(stat: FileStat | undefined): void {
    const bound = boundOf(stat);
    const end = this.#begin(bound);
    if (stat !== undefined) this.#nested(0x12, bound, () => this.#statFields(stat));
    end();
  }

  request(id: number): void {
    const end = this.#begin(32);
    this.#field(0x08, 1);
    this.#field(0x18, id);
    end();
  }

  /** Everything before `length` bytes of data; an empty packet ends the file. */
  dataHeader(id: number, length: number): void {
    this.#reserve(48);
    const start = this.#length;
    this.#length += framePrefixBytes;
    this.#field(0x08, 2);
    this.#field(0x18, id);
    if (length > 0) {
      this.#byte(0x22);
      this.#varint(length);
    }
    this.#prefix(start, this.#length - start - framePrefixBytes + length);
  }

  /** Bytes as they are, after {@linkcode PacketWriter.dataHeader}. */
  raw(data: Uint8Array): void {
    this.#reserve(data.length);
    this.#buffer.set(data, this.#length);
    this.#length += data.length;
  }

  fin(): void {
    const end = this.#begin(16);
    this.#field(0x08, 3);
    end();
  }

  error(message: string): void {
    const text = Buffer.from(message);
    const end = this.#begin(text.length + 32);
    this.#field(0x08, 4);
    this.#bytes(0x22, text);
    end();
  }

  /** A message of its own, `fsutil.types.Stat`, after its length in four bytes, the lowest first. */
  listed(stat: FileStat): void {
    this.#reserve(4 + boundOf(stat));
    const start = this.#length;
    this.#length += 4;
    this.#statFields(stat);
    this.#buffer.writeUInt32LE(this.#length - start - 4, start);
  }

  /** What was written since the last call. The buffer is the caller's. */
  take(): Buffer {
    const taken = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return taken;
  }

  #statFields(stat: FileStat): void {
    this.#bytes(0x0a, encodeBytes(stat.path));
    this.#field(0x10, stat.mode);
    this.#field(0x18, stat.uid);
    this.#field(0x20, stat.gid);
    this.#field(0x28, stat.size);
    this.#int64(0x30, stat.modTime);
    if (stat.linkName !== "") this.#bytes(0x3a, encodeBytes(stat.linkName));
    this.#field(0x40, stat.devMajor);
    this.#field(0x48, stat.devMinor);
    for (const [key, value] of stat.xattrs ?? []) {
      const name = Buffer.from(key);
      this.#byte(0x52);
      this.#varint(2 + varintBytes(name.length) + name.length + varintBytes(value.length) + value.length);
      this.#bytes(0x0a, name);
      this.#bytes(0x12, value);
    }
  }

  #begin(bound: number): () => void {
    this.#reserve(bound + framePrefixBytes);
    const start = this.#length;
    this.#length += framePrefixBytes;
    return () => this.#prefix(start, this.#length - start - framePrefixBytes);
  }

  #prefix(start: number, length: number): void {
    this.#buffer[start] = 0;
    this.#buffer.writeUInt32BE(length, start + 1);
  }

  /** A nested message: its length is written into a varint of fixed width, which protobuf allows. */
  #nested(tag: number, bound: number, write: () => void): void {
    const width = bound < 128 ** 2 ? 2 : 4;
    this.#byte(tag);
    const start = this.#length;
    this.#length += width;
    write();
    let length = this.#length - start - width;
    for (let index = 0; index < width; index += 1) {
      const more = index < width - 1 ? 0x80 : 0;
      this.#buffer[start + index] = (length & 0x7f) | more;
      length >>>= 7;
    }
  }

  #bytes(tag: number, data: Uint8Array): void {
    this.#byte(tag);
    this.#varint(data.length);
    this.#buffer.set(data, this.#length);
    this.#length += data.length;
  }

  #field(tag: number, value: number): void {
    if (value === 0) return;
    this.#byte(tag);
    this.#varint(value);
  }

  #int64(tag: number, value: bigint): void {
    if (value === 0n) return;
    this.#byte(tag);
    let rest = BigInt.asUintN(64, value);
    for (; rest > 0x7fn; rest >>= 7n) this.#byte(Number(rest & 0x7fn) | 0x80);
    this.#byte(Number(rest));
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) this.#byte((rest % 128) | 0x80);
    this.#byte(rest);
  }

  #byte(byte: number): void {
    this.#buffer[this.#length] = byte;
    this.#length += 1;
  }

  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#length >= bytes) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** At least the encoded size: strings, and 12 bytes for each other field and for each header. */
function boundOf(stat: FileStat | undefined): number {
  if (stat === undefined) return 160;
  let bound = 160 + 3 * (stat.path.length + stat.linkName.length);
  for (const [key, value] of stat.xattrs ?? []) bound += 3 * key.length + value.length + 24;
  return bound;
}

function varintBytes(value: number): number {
  return value < 128 ? 1 : 1 + varintBytes(Math.floor(value / 128));
}
