import { decodeBytes } from "./byte-text.ts";
import { decimalOf, numberOf, textOf } from "./header-fields.ts";
import { malformed } from "./malformed.ts";
import { type PaxRecords, xattrPrefix } from "./pax-records.ts";
import { decodeGnuSparse, decodePaxSparse, type SparseHeader } from "./sparse-header.ts";
import type { TarEntryType, TarHeader } from "./tar-header.ts";

/** A header block as it stands, before extended headers are merged into it. */
export interface RawHeader {
  readonly flag: string;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly userName: string;
  readonly groupName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Of GNU's own format. */
  readonly sparse: SparseHeader | undefined;
}

/** An entry as it stands in the archive. */
export interface DecodedEntry {
  readonly header: TarHeader;
  /** Bytes that follow. */
  readonly stored: number;
  readonly sparse: SparseHeader | undefined;
}

/** What meta entries said about the next entry. */
export interface PendingMeta {
  readonly pax?: PaxRecords;
  readonly longName?: string;
  readonly longLink?: string;
}

/** @throws {BuildError} `invalid_argument`, for a block that is no header: wrong checksum, malformed or huge numbers. */
export function decodeRawHeader(block: Buffer): RawHeader {
  verifyChecksum(block);
  const magic = block.toString("latin1", 257, 265);
  const posix = magic.startsWith("ustar\0");
  const known = posix || magic === "ustar  \0";
  const star = posix && block.toString("latin1", 508, 512) === "tar\0";
  const prefix = posix ? textOf(block.subarray(345, star ? 476 : 500)) : "";
  const name = textOf(block.subarray(0, 100));
  const flag = String.fromCharCode(block[156] ?? 0);
  return {
    flag,
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: textOf(block.subarray(157, 257)),
    mode: numberOf(block.subarray(100, 108)),
    uid: numberOf(block.subarray(108, 116)),
    gid: numberOf(block.subarray(116, 124)),
    size: numberOf(block.subarray(124, 136)),
    mtimeSeconds: numberOf(block.subarray(136, 148)),
    userName: known ? textOf(block.subarray(265, 297)) : "",
    groupName: known ? textOf(block.subarray(297, 329)) : "",
    deviceMajor: known ? numberOf(block.subarray(329, 337)) : 0,
    deviceMinor: known ? numberOf(block.subarray(337, 345)) : 0,
    sparse: flag === "S" ? decodeGnuSparse(block) : undefined,
  };
}

/** The entry that a header block and the meta entries before it describe. */
export function mergeHeader(raw: RawHeader, meta: PendingMeta): DecodedEntry {
  const pax: PaxRecords = meta.pax ?? new Map();
  const text = (key: string, otherwise: string): string => {
    const value = pax.get(key);
    return value === undefined || value.length === 0 ? otherwise : decodeBytes(value);
  };
  const number = (key: string, otherwise: number): number => {
    const value = text(key, "");
    return value === "" ? otherwise : decimalOf(value, key);
  };
  const sparse = raw.sparse ?? decodePaxSparse(pax);
  const name = sparse?.name ?? meta.longName ?? text("path", raw.name);
  const type = typeOf(raw.flag, name);
  const time = paxTime(text("mtime", "")) ?? { seconds: raw.mtimeSeconds, nanoseconds: 0 };
  const xattrs = xattrsOf(pax);
  const stored = type === "file" ? number("size", raw.size) : 0;
  if (sparse !== undefined && type !== "file") throw malformed(`"${show(name)}" is sparse, but no file`);
  const header: TarHeader = {
    name,
    type,
    mode: raw.mode & 0o7777,
    uid: number("uid", raw.uid),
    gid: number("gid", raw.gid),
    size: sparse?.size ?? stored,
    mtimeSeconds: time.seconds,
    ...(time.nanoseconds !== 0 && { mtimeNanoseconds: time.nanoseconds }),
    userName: text("uname", raw.userName),
    groupName: text("gname", raw.groupName),
    ...(xattrs.size > 0 && { xattrs }),
    ...targetOf(type, { ...raw, linkName: meta.longLink ?? text("linkpath", raw.linkName) }),
  };
  checkRanges(header, stored);
  return { header, stored, sparse };
}

function checkRanges(header: TarHeader, stored: number): void {
  if (header.size < 0 || stored < 0) throw malformed(`the size of "${show(header.name)}" is negative`);
  if (![header.uid, header.gid].every((id) => id >= 0 && id < 0xffff_ffff))
    throw malformed(`the owner of "${show(header.name)}" is out of range`);
}

/** What only links and devices have. */
function targetOf(type: TarEntryType, raw: RawHeader): Pick<TarHeader, "linkName" | "deviceMajor" | "deviceMinor"> {
  if (type === "symlink" || type === "hardlink") return { linkName: raw.linkName };
  if (type === "character" || type === "block") return { deviceMajor: raw.deviceMajor, deviceMinor: raw.deviceMinor };
  return {};
}

function xattrsOf(pax: PaxRecords): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const [key, value] of pax) if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), value);
  return xattrs;
}

const typesByFlag: ReadonlyMap<string, TarEntryType> = new Map([
  ["0", "file"],
  ["1", "hardlink"],
  ["2", "symlink"],
  ["3", "character"],
  ["4", "block"],
  ["5", "directory"],
  ["6", "fifo"],
  ["S", "file"],
]);

function typeOf(flag: string, name: string): TarEntryType {
  // Archives of the seventh edition have no directories but names that end with a slash.
  if (flag === "\0") return name.endsWith("/") ? "directory" : "file";
  const type = typesByFlag.get(flag);
  if (type === undefined) throw malformed(`entry "${show(name)}" has the unknown type ${JSON.stringify(flag)}`);
  return type;
}

function verifyChecksum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < block.length; at += 1) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const stated = numberOf(block.subarray(148, 156));
  if (stated !== unsigned && stated !== signed) throw malformed("a header's checksum is wrong");
}

function paxTime(text: string): { readonly seconds: number; readonly nanoseconds: number } | undefined {
  if (text === "") return undefined;
  const [, sign, whole = "", fraction = ""] = /^([+-]?)(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  if (sign === undefined) throw malformed('the record "mtime" is no time');
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (sign !== "-") return { seconds: Number(whole), nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - Number(whole), nanoseconds: 0 }
    : { seconds: -Number(whole) - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

function show(name: string): string {
  return name.slice(0, 300).toWellFormed();
}
