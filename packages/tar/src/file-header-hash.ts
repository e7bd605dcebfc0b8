import { createHash, type Hash } from "node:crypto";

/** What of a file beside its bytes is part of its content digest. */
export interface HashedAttributes {
  /** As the kernel has it, type bits included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Counts for regular files only. */
  readonly sizeBytes: number;
  readonly linkname?: string | Uint8Array;
  readonly device?: { readonly major: number; readonly minor: number };
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
}

const typeBits = 0o170000;
const typeFlags: ReadonlyMap<number, string> = new Map([
  [0o120000, "2"],
  [0o020000, "3"],
  [0o060000, "4"],
  [0o040000, "5"],
  [0o010000, "6"],
]);
const symlinkType = 0o120000;

/**
 * What a file's digest starts with, before the file's bytes. The attributes are spelled as Docker's tarsum version 1 spells
 * a tar header without name and time.
 */
export function fileHeader(attributes: HashedAttributes): string | Buffer {
  const { mode, uid, gid, device, xattrs } = attributes;
  const type = mode & typeBits;
  // Whatever has no type of its own in a tar, such as a socket, counts as a regular file.
  const flag = typeFlags.get(type) ?? "0";
  const permissions = type === symlinkType ? 0o777 | (mode & 0o7000) : mode & 0o7777;
  const size = flag === "0" ? attributes.sizeBytes : 0;
  const { linkname = "" } = attributes;
  const start = `namemode${permissions}uid${uid}gid${gid}size${size}typeflag${flag}linkname`;
  const end = `unamegnamedevmajor${device?.major ?? 0}devminor${device?.minor ?? 0}`;
  if (typeof linkname === "string" && xattrs === undefined) return `${start}${linkname}${end}`;
  return Buffer.concat([
    Buffer.from(start),
    Buffer.from(linkname as string),
    Buffer.from(end),
    ...hashedXattrs(xattrs),
  ]);
}

/** A SHA-256 that has read a file's attributes, and now wants its bytes: the digest that BuildKit's `cache/contenthash` gives a file. */
export function fileHeaderHash(attributes: HashedAttributes): Hash {
  return createHash("sha256").update(fileHeader(attributes));
}

function hashedXattrs(xattrs: ReadonlyMap<string, Uint8Array> = new Map()): Uint8Array[] {
  const names = [...xattrs.keys()].filter(isHashedXattr);
  return names
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .flatMap((name) => [Buffer.from(name), xattrs.get(name) ?? Buffer.alloc(0)]);
}

/** Security labels and access lists depend on the machine; capabilities do not. */
export function isHashedXattr(name: string): boolean {
  return name === "security.capability" || !/^(security|system)\./.test(name);
}
