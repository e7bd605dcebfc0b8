import { constants } from "node:fs";

/** Go's `FileMode` bits, in which file sync sends modes. */
export const goMode = {
  directory: 2147483648,
  symlink: 134217728,
  device: 67108864,
  namedPipe: 33554432,
  socket: 16777216,
  setuid: 8388608,
  setgid: 4194304,
  characterDevice: 2097152,
  sticky: 1048576,
} as const;

/** All bits that make a file something other than a regular one: type bits and Go's "irregular". */
const typeBits = goMode.directory + goMode.symlink + goMode.device + goMode.namedPipe + goMode.socket;
const irregular = 2 ** 19;

/** What file sync says of one entry of a tree. */
export interface FileStat {
  /** Relative, with slashes. */
  path: string;
  /** Go's `FileMode` bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Nanoseconds since the epoch. */
  modTime: bigint;
  /** Target of a symlink; without the symlink bit, the path of an earlier entry that this is a hard link to. */
  linkName: string;
  devMajor: number;
  devMinor: number;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Whether a bit of {@linkcode goMode} is set; the top bit rules out plain bit operations. */
export function hasMode(mode: number, bit: number): boolean {
  return Math.floor(mode / bit) % 2 === 1;
}

export function isDirectory(stat: FileStat): boolean {
  return hasMode(stat.mode, goMode.directory);
}

export function isSymlink(stat: FileStat): boolean {
  return hasMode(stat.mode, goMode.symlink);
}

export function isSpecial(stat: FileStat): boolean {
  return hasMode(stat.mode, goMode.device) || hasMode(stat.mode, goMode.namedPipe);
}

/** Whether content can be asked for: sender and receiver must agree on it. */
export function hasContent(stat: FileStat): boolean {
  return ((stat.mode & typeBits) | (stat.mode & irregular)) === 0;
}

/** Permission bits with set-user-id, set-group-id and sticky, as system calls take them. */
export function permissions(mode: number): number {
  let bits = mode & 0o777;
  if (hasMode(mode, goMode.setuid)) bits |= 0o4000;
  if (hasMode(mode, goMode.setgid)) bits |= 0o2000;
  if (hasMode(mode, goMode.sticky)) bits |= 0o1000;
  return bits;
}

/** A system's `st_mode` in Go's bits. Sockets lose their bit, as nothing can transfer them. */
export function goModeFrom(mode: number): number {
  let bits = mode & 0o777;
  if ((mode & 0o4000) !== 0) bits += goMode.setuid;
  if ((mode & 0o2000) !== 0) bits += goMode.setgid;
  if ((mode & 0o1000) !== 0) bits += goMode.sticky;
  switch (mode & constants.S_IFMT) {
    case constants.S_IFDIR:
      return bits + goMode.directory;
    case constants.S_IFLNK:
      return bits + goMode.symlink;
    case constants.S_IFIFO:
      return bits + goMode.namedPipe;
    case constants.S_IFBLK:
      return bits + goMode.device;
    case constants.S_IFCHR:
      return bits + goMode.device + goMode.characterDevice;
    default:
      return bits;
  }
}

/** The inverse of {@linkcode goModeFrom}: type and permissions as the system has them. */
export function systemMode(mode: number): number {
  return permissions(mode) | systemType(mode);
}

function systemType(mode: number): number {
  if (hasMode(mode, goMode.directory)) return constants.S_IFDIR;
  if (hasMode(mode, goMode.symlink)) return constants.S_IFLNK;
  if (hasMode(mode, goMode.namedPipe)) return constants.S_IFIFO;
  if (hasMode(mode, goMode.characterDevice)) return constants.S_IFCHR;
  if (hasMode(mode, goMode.device)) return constants.S_IFBLK;
  return constants.S_IFREG;
}
