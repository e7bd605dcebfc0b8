import { closeSync, constants, fchmodSync, fchownSync } from "node:fs";
import { type At, chmodAt, chownAt, mknodAt, openAt, readlinkAt, symlinkAt, utimesAt, utimesOf } from "./at-calls.ts";
import { copyFileData } from "./copy-file-data.ts";
import { type FileStat, S_IFMT, S_IFSOCK, statOf } from "./file-stat.ts";
import { hasErrno, SystemError } from "./system-error.ts";
import { findXattr, listXattrs, pathOfAt, setXattr, type XattrTarget } from "./xattrs.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const EINVAL = 22;

/** Checked between files and pieces of files, so that long synchronous work can be aborted. */
export type AbortCheck = () => void;

/** Opens a directory in a directory; a symbolic link is `ENOTDIR` or `ELOOP`. */
export function openDirectoryAt(at: At): number {
  return openAt(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/** Owner, mode and times that a copy gets. */
export interface FileAttributes {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits; symbolic links have none. */
  readonly mode: number;
  readonly accessNs: bigint;
  readonly modificationNs: bigint;
}

export interface CopyEntryOptions {
  readonly attributes: FileAttributes;
  readonly checkAborted?: AbortCheck;
  /** Which extended attributes are copied; all unless given. */
  readonly acceptXattr?: (name: string) => boolean;
}

/** The attributes that a file has. */
export function attributesOf(stat: FileStat): FileAttributes {
  const { uid, gid, accessNs, modificationNs } = stat;
  return { uid, gid, mode: stat.mode & 0o7777, accessNs, modificationNs };
}

/** Copies whatever is no directory to a name that is free. A socket becomes an empty file. */
export function copyEntryAt(from: At & { readonly stat: FileStat }, to: At, options: CopyEntryOptions): void {
  const { stat } = from;
  if (stat.isFile()) {
    copyRegularFile(from, to, options);
    return;
  }
  if (stat.isSymbolicLink()) symlinkAt(readlinkAt(from), to);
  else {
    const mode = (stat.mode & S_IFMT) === S_IFSOCK ? stat.mode & 0o7777 : stat.mode;
    mknodAt(to, mode, stat.specialDevice);
  }
  applyAttributesAt(to, { attributes: options.attributes, isSymbolicLink: stat.isSymbolicLink() });
  copyXattrs(pathOfAt(from), pathOfAt(to), options.acceptXattr);
}

function copyRegularFile(from: At, to: At, options: CopyEntryOptions): void {
  // The name may have been replaced since it was looked at: a FIFO would block, a device would start.
  const source = openAt(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  let target: number | undefined;
  try {
    const stat = statOf(source);
    if (!stat.isFile()) throw new SystemError(EINVAL, "copy", from.path.toString());
    const { uid, gid, mode, accessNs, modificationNs } = options.attributes;
    target = openAt(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 0o777);
    const { checkAborted } = options;
    if (stat.sizeBytes > 0) {
      const { sizeBytes, allocatedBytes } = stat;
      const options = { sizeBytes, allocatedBytes, ...(checkAborted !== undefined && { checkAborted }) };
      copyFileData(source, target, options);
    }
    // Looking is cheap; each change is a transaction of the file system's journal.
    const made = statOf(target);
    const isOwned = made.uid === uid && made.gid === gid;
    if (!isOwned) fchownSync(target, uid, gid);
    // After chown, which clears the bits for set-user-id.
    if ((made.mode & 0o7777) !== mode || (!isOwned && (mode & 0o6000) !== 0)) fchmodSync(target, mode);
    copyXattrs(source, target, options.acceptXattr);
    utimesOf(target, { accessNs, modificationNs });
  } finally {
    closeSync(source);
    if (target !== undefined) closeSync(target);
  }
}

/** Sets owner, mode (not of a symbolic link) and times of a name. */
export function applyAttributesAt(
  at: At,
  options: { readonly attributes: FileAttributes; readonly isSymbolicLink: boolean },
): void {
  const { uid, gid, mode, accessNs, modificationNs } = options.attributes;
  chownAt(at, uid, gid);
  if (!options.isSymbolicLink) chmodAt(at, mode);
  utimesAt(at, { accessNs, modificationNs });
}

/** Copies extended attributes that the target's file system can hold; what it refuses is left out, as `cp -a` does. */
export function copyXattrs(from: XattrTarget, to: XattrTarget, accept?: (name: string) => boolean): void {
  for (const name of listXattrs(from)) {
    if (accept !== undefined && !accept(name)) continue;
    const value = findXattr(from, name);
    if (value === undefined) continue;
    try {
      setXattr(to, name, value);
    } catch (error) {
      if (!hasErrno(error, "ENOTSUP", "EOPNOTSUPP", "EPERM", "EACCES", "EINVAL", "ERANGE", "E2BIG", "ENOSPC"))
        throw error;
    }
  }
}
