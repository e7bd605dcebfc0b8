import { closeSync, constants, fchmodSync, fchownSync, openSync, writeSync } from "node:fs";
import {
  type At,
  chmodAt,
  chownAt,
  findLstatAt,
  hasErrno,
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  pathOfAt,
  removeTreeAt,
  renameAt,
  symlinkAt,
  unlinkAt,
  utimesAt,
  utimesOf,
} from "@buildkit-ts/sys";
import type { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, goMode, hasMode, isDirectory, isSymlink, permissions } from "./file-stat.ts";
import { pathBytes } from "./path-text.ts";
import { setXattrs, updateXattrs } from "./received-xattrs.ts";

const createFlags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;

/** A file that is being received. */
export interface ReceivingFile {
  readonly fd: number;
  readonly stat: FileStat;
  receivedBytes: number;
  /** Where the bytes go until they are all there, if something is replaced. */
  readonly temporaryPath: string | undefined;
}

/**
 * Writes what file sync receives below a directory.
 *
 * Never writes into an existing file: its inode may be shared with other trees. All names are resolved by descriptor.
 */
export class ReceivedTree {
  readonly directories: DirectoryCache;
  readonly #keepsOldUntilComplete: boolean;
  readonly #directoryTimes = new Map<string, bigint>();
  readonly #umask = process.umask();
  #temporaries = 0;

  /**
   * @param directories Stay the caller's.
   * @param options.keepsOldUntilComplete A file is replaced at once when its bytes are there, as users expect of outputs.
   */
  constructor(directories: DirectoryCache, options: { readonly keepsOldUntilComplete: boolean }) {
    this.directories = directories;
    this.#keepsOldUntilComplete = options.keepsOldUntilComplete;
  }

  /** Removes whatever has this name. */
  remove(path: string): void {
    try {
      unlinkAt(this.directories.at(path));
      return;
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return;
      if (!hasErrno(error, "EISDIR", "EPERM")) throw error;
    }
    this.directories.forget(path);
    removeTreeAt(this.directories.at(path));
  }

  /** What is on disk under this name, for trees that were not walked. */
  isDirectoryOnDisk(path: string): boolean | undefined {
    return findLstatAt(this.directories.at(path))?.isDirectory();
  }

  createDirectory(stat: FileStat): void {
    const at = this.directories.at(stat.path);
    mkdirAt(at, 0o700);
    this.#finishDirectory(stat);
  }

  /** Gives a directory that is there other attributes. */
  updateDirectory(stat: FileStat): void {
    // Where something is added to what is there, it keeps the extended attributes that it has.
    if (!this.#keepsOldUntilComplete) this.updateXattrs(stat);
    this.#finishDirectory(stat);
  }

  /** Gives a directory that is there the extended attributes that came. @returns whether it had others. */
  updateXattrs(stat: FileStat): boolean {
    return updateXattrs(pathOfAt(this.directories.at(stat.path)), stat);
  }

  #finishDirectory(stat: FileStat): void {
    const at = this.directories.at(stat.path);
    chownAt(at, stat.uid, stat.gid);
    chmodAt(at, permissions(stat.mode));
    setXattrs(pathOfAt(at), stat);
    this.#directoryTimes.set(stat.path, stat.modTime);
  }

  /** Says that the content of the directory changes, which would change its time. */
  touchDirectory(stat: FileStat): void {
    this.#directoryTimes.set(stat.path, stat.modTime);
  }

  createSymlink(stat: FileStat): void {
    const at = this.directories.at(stat.path);
    symlinkAt(pathBytes(stat.linkName), at);
    this.#finishNode(at, stat);
  }

  createSpecial(stat: FileStat): void {
    const at = this.directories.at(stat.path);
    const type = hasMode(stat.mode, goMode.namedPipe)
      ? constants.S_IFIFO
      : hasMode(stat.mode, goMode.characterDevice)
        ? constants.S_IFCHR
        : constants.S_IFBLK;
    mknodAt(at, type | 0o600, { major: stat.devMajor, minor: stat.devMinor });
    this.#finishNode(at, stat);
  }

  /** A second name for a file of this tree. */
  link(stat: FileStat): void {
    const target = this.directories.at(stat.path);
    // Resolving the other place may evict this directory from the cache, so it is held by a descriptor of its own.
    const held = openSync(`/proc/self/fd/${target.fd}`, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      linkAt(this.directories.at(stat.linkName), { fd: held, path: target.path });
    } finally {
      closeSync(held);
    }
  }

  /** Gives the file of another tree a name in this one. */
  adopt(other: DirectoryCache, path: string): void {
    linkAt(other.at(path), this.directories.at(path));
  }

  beginFile(stat: FileStat): ReceivingFile {
    const at = this.directories.at(stat.path);
    const temporaryPath =
      this.#keepsOldUntilComplete && findLstatAt(at) !== undefined ? this.#temporaryPath(stat.path) : undefined;
    const target = temporaryPath === undefined ? at : this.directories.at(temporaryPath);
    return { fd: openAt(target, createFlags, stat.mode & 0o777), stat, receivedBytes: 0, temporaryPath };
  }

  write(file: ReceivingFile, data: Uint8Array): void {
    for (let offset = 0; offset < data.length; ) {
      offset += writeSync(file.fd, data, offset, data.length - offset);
    }
  }

  finishFile(file: ReceivingFile): void {
    const { fd, stat } = file;
    try {
      fchownSync(fd, stat.uid, stat.gid);
      const mode = permissions(stat.mode);
      if ((mode & (this.#umask | 0o7000)) !== 0) fchmodSync(fd, mode);
      if (stat.xattrs !== undefined) setXattrs(fd, stat);
      utimesOf(fd, { accessNs: stat.modTime, modificationNs: stat.modTime });
    } finally {
      closeSync(fd);
    }
    if (file.temporaryPath === undefined) return;
    if (this.isDirectoryOnDisk(stat.path) === true) this.remove(stat.path);
    renameAt(this.directories.at(file.temporaryPath), this.directories.at(stat.path));
  }

  abandonFile(file: ReceivingFile): void {
    closeSync(file.fd);
    // The tree may be kept for what else is in it.
    this.remove(file.temporaryPath ?? file.stat.path);
  }

  /** Sets the times of directories, which every change inside them has changed. */
  finish(): void {
    for (const [path, modTime] of this.#directoryTimes) {
      utimesAt(this.directories.at(path), { accessNs: modTime, modificationNs: modTime });
    }
  }

  #temporaryPath(path: string): string {
    this.#temporaries += 1;
    const name = `.tmp.${process.pid}-${Date.now().toString(36)}-${this.#temporaries}`;
    const slash = path.lastIndexOf("/");
    return slash < 0 ? name : `${path.slice(0, slash)}/${name}`;
  }

  #finishNode(at: At, stat: FileStat): void {
    chownAt(at, stat.uid, stat.gid);
    if (!isSymlink(stat)) chmodAt(at, permissions(stat.mode));
    setXattrs(pathOfAt(at), stat);
    utimesAt(at, { accessNs: stat.modTime, modificationNs: stat.modTime });
  }
}

/** Whether two stats describe the same file, by all that file sync compares. */
export function isSameFile(left: FileStat, right: FileStat): boolean {
  if (!isDirectory(left) && (left.size !== right.size || left.modTime !== right.modTime)) return false;
  return (
    left.mode === right.mode &&
    left.uid === right.uid &&
    left.gid === right.gid &&
    left.devMajor === right.devMajor &&
    left.devMinor === right.devMinor &&
    left.linkName === right.linkName
  );
}
