import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, type At } from "./at-calls.ts";
import { NativeCall, pathArgument } from "./native-call.ts";

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** A device number in its two parts. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** What the kernel knows about a file, to the nanosecond. */
export class FileStat {
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly linkCount: number;
  readonly inode: bigint;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly #access: Timestamp;
  readonly #modification: Timestamp;
  readonly #change: Timestamp;
  /** Of the file system that holds it. */
  readonly device: DeviceNumber;
  /** Of the device that it is. */
  readonly specialDevice: DeviceNumber;

  /** @param raw A `struct statx`, whose layout is the same on every architecture. */
  constructor(raw: DataView) {
    this.mode = raw.getUint16(28, true);
    this.uid = raw.getUint32(20, true);
    this.gid = raw.getUint32(24, true);
    this.linkCount = raw.getUint32(16, true);
    this.inode = raw.getBigUint64(32, true);
    this.sizeBytes = raw.getUint32(44, true) * 2 ** 32 + raw.getUint32(40, true);
    this.allocatedBytes = (raw.getUint32(52, true) * 2 ** 32 + raw.getUint32(48, true)) * 512;
    this.#access = new Timestamp(raw, 64);
    this.#change = new Timestamp(raw, 96);
    this.#modification = new Timestamp(raw, 112);
    this.specialDevice = { major: raw.getUint32(128, true), minor: raw.getUint32(132, true) };
    this.device = { major: raw.getUint32(136, true), minor: raw.getUint32(140, true) };
  }

  get accessNs(): bigint {
    return this.#access.ns;
  }

  get modificationNs(): bigint {
    return this.#modification.ns;
  }

  get changeNs(): bigint {
    return this.#change.ns;
  }

  isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  isFile(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }

  isSymbolicLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }

  /** A character device 0:0: how overlay marks in an upper directory that a name is gone. */
  isWhiteout(): boolean {
    return (this.mode & S_IFMT) === S_IFCHR && this.specialDevice.major === 0 && this.specialDevice.minor === 0;
  }
}

/** A `struct statx_timestamp`. Trees of any size are walked, and of each file one time is asked for, or none. */
class Timestamp {
  readonly #seconds: number;
  readonly #nanoseconds: number;

  constructor(raw: DataView, offset: number) {
    this.#seconds = raw.getInt32(offset + 4, true) * 2 ** 32 + raw.getUint32(offset, true);
    this.#nanoseconds = raw.getUint32(offset + 8, true);
  }

  get ns(): bigint {
    return BigInt(this.#seconds) * 1_000_000_000n + BigInt(this.#nanoseconds);
  }
}

const statx = new NativeCall("statx", "int statx(int, const char *, int, unsigned int, void *)");
const AT_NO_AUTOMOUNT = 0x800;
const ENOENT = 2;
const STATX_BASIC_STATS = 0x7ff;
const buffer = Buffer.alloc(256);
const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);

/** Never follows a symbolic link as the last component. */
export function lstatAt(at: At): FileStat {
  return statWith(at, AT_SYMLINK_NOFOLLOW);
}

/** Follows symbolic links wherever they lead: only for trusted paths. */
export function statAt(at: At): FileStat {
  return statWith(at, 0);
}

/** Of an open file, also of one opened with `O_PATH`. */
export function statOf(fd: number): FileStat {
  return statWith({ fd, path: "" }, AT_EMPTY_PATH);
}

/** As {@linkcode lstatAt}, but undefined for a name that is not there. */
export function findLstatAt(at: At): FileStat | undefined {
  const result = statx.tryCall(...statxArguments(at, AT_SYMLINK_NOFOLLOW));
  if (result >= 0) return new FileStat(view);
  if (result === -ENOENT) return undefined;
  throw statx.failure(at.path, -result);
}

function statWith(at: At, flags: number): FileStat {
  statx.call(at.path, ...statxArguments(at, flags));
  return new FileStat(view);
}

function statxArguments(at: At, flags: number): unknown[] {
  return [at.fd, pathArgument(at.path), flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, buffer];
}
