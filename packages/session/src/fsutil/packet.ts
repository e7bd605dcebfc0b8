import { endianness } from "node:os";
import { BuildError } from "@buildkit-ts/errdefs";
import { decodeBytes, encodeBytes } from "@buildkit-ts/tar";
import { framePrefixBytes } from "../wire/grpc-frames.ts";
import type { FileStat } from "./file-stat.ts";

/** `fsutil.types.Packet`. Written and read by hand: a context of 1 GB is 28,000 of them. */
export type Packet =
  | { readonly type: "stat"; readonly stat: FileStat | undefined }
  | { readonly type: "request"; readonly id: number }
  | { readonly type: "data"; readonly id: number; readonly data: Buffer }
  | { readonly type: "fin" }
  | { readonly type: "error"; readonly message: string };

const packetTypes = ["stat", "request", "data", "fin", "error"] as const;
const emptyBuffer: Buffer = Buffer.alloc(0);

/** @throws {BuildError} `invalid_argument`, for bytes that are no packet. */
export function decodePacket(message: Buffer): Packet {
  const reader = new FieldReader(message);
  let type = 0;
  let stat: FileStat | undefined;
  let id = 0;
  let data: Buffer = emptyBuffer;
  while (reader.next()) {
    if (reader.field === 1) type = reader.number();
    else if (reader.field === 2) stat = decodeStat(reader.nested());
    else if (reader.field === 3) id = reader.number();
    else if (reader.field === 4) data = reader.bytes();
    else reader.skip();
  }
  const kind = packetTypes[type];
  switch (kind) {
    case "stat":
      return { type: kind, stat };
    case "request":
      return { type: kind, id };
    case "data":
      return { type: kind, id, data };
    case "fin":
      return { type: kind };
    case "error":
      return { type: kind, message: data.toString("utf8") };
    case undefined:
      throw new BuildError("invalid_argument", `Cannot read packet: type ${type} is unknown`);
    default:
      return kind satisfies never;
  }
}

function decodeStat(reader: FieldReader): FileStat {
  const stat: FileStat = {
    path: "",
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    modTime: 0n,
    linkName: "",
    devMajor: 0,
    devMinor: 0,
    xattrs: undefined,
  };
  let xattrs: Map<string, Uint8Array> | undefined;
  while (reader.next()) {
    if (reader.field === 10) {
      xattrs ??= new Map();
      xattrs.set(...readXattr(reader.nested()));
    } else readStatField(stat, reader);
  }
  stat.xattrs = xattrs;
  return stat;
}

function readStatField(stat: FileStat, reader: FieldReader): void {
  switch (reader.field) {
    case 1:
      // Go's senders send names as they are, and they need not be UTF-8.
      stat.path = reader.name();
      return;
    case 2:
      stat.mode = reader.number() >>> 0;
      return;
    case 3:
      stat.uid = reader.number() >>> 0;
      return;
    case 4:
      stat.gid = reader.number() >>> 0;
      return;
    case 5:
      stat.size = reader.integer();
      return;
    case 6:
      stat.modTime = reader.int64();
      return;
    case 7:
      stat.linkName = reader.name();
      return;
    case 8:
      stat.devMajor = reader.integer();
      return;
    case 9:
      stat.devMinor = reader.integer();
      return;
    default:
      reader.skip();
  }
}

function readXattr(reader: FieldReader): [string, Uint8Array] {
  let key = "";
  let value: Buffer = emptyBuffer;
  while (reader.next()) {
    if (reader.field === 1) key = reader.bytes().toString("utf8");
    else if (reader.field === 2) value = reader.bytes();
    else reader.skip();
  }
  // The value outlives the message, whose buffer may be large.
  return [key, Uint8Array.from(value)];
}

// A number of 64 bits is put together from its halves: one `bigint` is made of it instead of twenty.
const int64 = new BigInt64Array(1);
const [lowHalf, highHalf] = endianness() === "LE" ? [0, 1] : [1, 0];
const halves = new Int32Array(int64.buffer);

/** Reads one protobuf message field by field, where it lies. */
class FieldReader {
  readonly #data: Buffer;
  readonly #end: number;
  #offset: number;
  #wireType = 0;
  field = 0;

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

function malformed(): BuildError {
  return new BuildError("invalid_argument", "Cannot read packet: malformed protobuf");
}
