import { type FilePath, NativeCall, pathArgument } from "./native-call.ts";

/** Paths are relative to the working directory. */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_EMPTY_PATH = 0x1000;
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** A name in an open directory. With an absolute path the directory is not used. */
export interface At {
  readonly fd: number;
  readonly path: FilePath;
}

const mkdirat = new NativeCall("mkdirat", "int mkdirat(int, const char *, unsigned int)");
const unlinkat = new NativeCall("unlinkat", "int unlinkat(int, const char *, int)");
const linkat = new NativeCall("linkat", "int linkat(int, const char *, int, const char *, int)");
const symlinkat = new NativeCall("symlinkat", "int symlinkat(const char *, int, const char *)");
const renameat2 = new NativeCall("renameat2", "int renameat2(int, const char *, int, const char *, unsigned int)");
const fchownat = new NativeCall("fchownat", "int fchownat(int, const char *, unsigned int, unsigned int, int)");
const fchmodat = new NativeCall("fchmodat", "int fchmodat(int, const char *, unsigned int, int)");
const mknodat = new NativeCall("mknodat", "int mknodat(int, const char *, unsigned int, uint64_t)");
const readlinkat = new NativeCall("readlinkat", "int64_t readlinkat(int, const char *, void *, size_t)");
const utimensat = new NativeCall("utimensat", "int utimensat(int, const char *, const void *, int)");
const futimens = new NativeCall("futimens", "int futimens(int, const void *)");
const openat = new NativeCall("openat", "int openat(int, const char *, int, unsigned int)");

/** Opens a name in a directory; close-on-exec is always set. Follows symbolic links unless told `O_NOFOLLOW`. */
export function openAt(at: At, flags: number, mode = 0): number {
  return openat.call(at.path, at.fd, pathArgument(at.path), flags | O_CLOEXEC, mode);
}

const O_CLOEXEC = 0o2000000;

/** The mode is subject to the process's umask. */
export function mkdirAt(at: At, mode: number): void {
  mkdirat.call(at.path, at.fd, pathArgument(at.path), mode);
}

/** Removes a name; a directory (which must be empty) with `AT_REMOVEDIR`. */
export function unlinkAt(at: At, flags = 0): void {
  unlinkat.call(at.path, at.fd, pathArgument(at.path), flags);
}

/** A further name for a file. A symbolic link is not followed unless told `AT_SYMLINK_FOLLOW`. */
export function linkAt(from: At, to: At, flags = 0): void {
  linkat.call(to.path, from.fd, pathArgument(from.path), to.fd, pathArgument(to.path), flags);
}

export function symlinkAt(target: FilePath, at: At): void {
  symlinkat.call(at.path, pathArgument(target), at.fd, pathArgument(at.path));
}

/** Moves, replacing what is there unless told `RENAME_NOREPLACE`. */
export function renameAt(from: At, to: At, flags = 0): void {
  renameat2.call(to.path, from.fd, pathArgument(from.path), to.fd, pathArgument(to.path), flags);
}

/** Never follows a symbolic link as the last component. */
export function chownAt(at: At, uid: number, gid: number): void {
  fchownat.call(at.path, at.fd, pathArgument(at.path), uid, gid, AT_SYMLINK_NOFOLLOW);
}

/** Follows symbolic links, as the kernel has no modes for those: check first. */
export function chmodAt(at: At, mode: number): void {
  fchmodat.call(at.path, at.fd, pathArgument(at.path), mode, 0);
}

/** A file, FIFO, socket or device, by the type bits of `mode`. */
export function mknodAt(at: At, mode: number, device: { readonly major: number; readonly minor: number }): void {
  mknodat.call(at.path, at.fd, pathArgument(at.path), mode, encodeDevice(device));
}

/** A device number as the C library packs it. */
export function encodeDevice({ major, minor }: { readonly major: number; readonly minor: number }): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

const PATH_MAX = 4096;

/** What a symbolic link says; a string where it is UTF-8. An empty path reads the link that `fd` itself is. */
export function readlinkAt(at: At): FilePath {
  const buffer = Buffer.allocUnsafe(PATH_MAX);
  const length = readlinkat.call(at.path, at.fd, pathArgument(at.path), buffer, buffer.length);
  return fileName(Buffer.from(buffer.subarray(0, length)));
}

/** Bytes as a string if that loses nothing, and as they are otherwise. */
export function fileName(bytes: Buffer): FilePath {
  const text = bytes.toString("utf8");
  return text.includes("\uFFFD") && !Buffer.from(text, "utf8").equals(bytes) ? bytes : text;
}

/** Nanoseconds since the epoch; undefined leaves a time as it is. */
export interface FileTimes {
  readonly accessNs: bigint | undefined;
  readonly modificationNs: bigint | undefined;
}

const UTIME_OMIT = (1n << 30n) - 2n;
const second = 1_000_000_000n;

/** Sets times to the nanosecond, which `fs.utimes` cannot. Never follows a symbolic link as the last component. */
export function utimesAt(at: At, times: FileTimes): void {
  utimensat.call(at.path, at.fd, pathArgument(at.path), encodeTimes(times), AT_SYMLINK_NOFOLLOW);
}

/** As {@linkcode utimesAt}, of an open file (not one opened with `O_PATH`). */
export function utimesOf(fd: number, times: FileTimes): void {
  futimens.call(undefined, fd, encodeTimes(times));
}

/** Calls read it before they return. */
const timesArgument = new BigInt64Array(4);

function encodeTimes({ accessNs, modificationNs }: FileTimes): BigInt64Array {
  encodeTime(accessNs, 0);
  if (modificationNs === accessNs) timesArgument.copyWithin(2, 0, 2);
  else encodeTime(modificationNs, 2);
  return timesArgument;
}

function encodeTime(time: bigint | undefined, index: number): void {
  if (time === undefined) {
    timesArgument[index + 1] = UTIME_OMIT;
    return;
  }
  const nanoseconds = ((time % second) + second) % second;
  timesArgument[index] = (time - nanoseconds) / second;
  timesArgument[index + 1] = nanoseconds;
}
