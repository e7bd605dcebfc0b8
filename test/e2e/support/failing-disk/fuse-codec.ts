import type { BigIntStats } from "node:fs";

/** What the kernel asks of a file system (linux/fuse.h), as far as {@linkcode answerOf} knows it. */
export interface FuseRequest {
  readonly opcode: number;
  readonly unique: bigint;
  readonly node: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly body: FuseReader;
}

const inHeaderBytes = 40;
const outHeaderBytes = 16;

/** Reads the fields of a request one after the other. */
export class FuseReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at - 4);
  }

  u64(): bigint {
    this.#at += 8;
    return this.#bytes.readBigUInt64LE(this.#at - 8);
  }

  skip(bytes: number): this {
    this.#at += bytes;
    return this;
  }

  /** A name, which ends with a zero byte. */
  name(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at);
    const name = Buffer.from(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return name;
  }

  data(length: number): Buffer {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** Writes the fields of an answer one after the other. */
export class FuseWriter {
  readonly #parts: Buffer[] = [];

  u16(value: number): this {
    const part = Buffer.alloc(2);
    part.writeUInt16LE(value);
    return this.bytes(part);
  }

  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.bytes(part);
  }

  u64(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(value);
    return this.bytes(part);
  }

  zeros(count: number): this {
    return this.bytes(Buffer.alloc(count));
  }

  bytes(part: Buffer): this {
    this.#parts.push(part);
    return this;
  }

  attributes(stat: BigIntStats): this {
    const seconds = (ns: bigint): bigint => ns / 1_000_000_000n;
    const rest = (ns: bigint): number => Number(ns % 1_000_000_000n);
    const { atimeNs, mtimeNs, ctimeNs } = stat;
    for (const value of [stat.ino, stat.size, stat.blocks]) this.u64(value);
    for (const time of [atimeNs, mtimeNs, ctimeNs]) this.u64(seconds(time));
    for (const time of [atimeNs, mtimeNs, ctimeNs]) this.u32(rest(time));
    for (const value of [stat.mode, stat.nlink, stat.uid, stat.gid, kernelDevice(stat.rdev)]) this.u32(Number(value));
    return this.u32(Number(stat.blksize)).u32(0);
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** As the kernel packs it for file systems, not as the C library does. */
function kernelDevice(device: bigint): bigint {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return (minor & 0xffn) | (major << 8n) | ((minor & ~0xffn) << 12n);
}

export function decodeRequest(bytes: Buffer): FuseRequest {
  const header = new FuseReader(bytes);
  const length = header.u32();
  const opcode = header.u32();
  const [unique, node] = [header.u64(), header.u64()];
  const [uid, gid] = [header.u32(), header.u32()];
  return { opcode, unique, node, uid, gid, body: new FuseReader(bytes.subarray(inHeaderBytes, length)) };
}

/** @param errno Positive; 0 for success. */
export function encodeAnswer(unique: bigint, answer: { readonly errno: number; readonly body: Buffer }): Buffer {
  const header = Buffer.alloc(outHeaderBytes);
  header.writeUInt32LE(outHeaderBytes + answer.body.length);
  header.writeInt32LE(-answer.errno, 4);
  header.writeBigUInt64LE(unique, 8);
  return Buffer.concat([header, answer.body]);
}
