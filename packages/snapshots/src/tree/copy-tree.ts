import { closeSync } from "node:fs";
import {
  type AbortCheck,
  AT_FDCWD,
  type At,
  applyAttributesAt,
  attributesOf,
  copyEntryAt,
  copyXattrs,
  type FilePath,
  type FileStat,
  hasErrno,
  joinPath,
  linkAt,
  lstatAt,
  mkdirAt,
  openDirectoryAt,
  pathOfAt,
  readNames,
} from "@buildkit-ts/sys";

/** Copies what a directory holds into an empty one, with owners, modes, times, extended attributes and hard links. */
export function copyTree(from: string, to: string, checkAborted: AbortCheck): void {
  const source = openDirectoryAt({ fd: AT_FDCWD, path: from });
  let target: number | undefined;
  try {
    target = openDirectoryAt({ fd: AT_FDCWD, path: to });
    new TreeCopier(target, checkAborted).copyChildren(source, target, "");
    copyDirectoryAttributes({ fd: AT_FDCWD, path: from }, { fd: AT_FDCWD, path: to });
  } finally {
    closeSync(source);
    if (target !== undefined) closeSync(target);
  }
}

/** Owner, mode, times and extended attributes of a directory. */
export function copyDirectoryAttributes(from: At, to: At): void {
  copyXattrs(pathOfAt(from), pathOfAt(to));
  applyAttributesAt(to, { attributes: attributesOf(lstatAt(from)), isSymbolicLink: false });
}

/** Copies entries one by one, and keeps hard links among those of one source. */
export class TreeCopier {
  readonly #root: number;
  readonly #checkAborted: AbortCheck;
  readonly #firstPaths = new Map<bigint, FilePath>();

  /** @param root An open directory in which nothing but this copier changes anything. */
  constructor(root: number, checkAborted: AbortCheck) {
    this.#root = root;
    this.#checkAborted = checkAborted;
  }

  /** What comes now is of another source: its files are not those that were copied. */
  forgetLinks(): void {
    this.#firstPaths.clear();
  }

  /** @param path Of `to`, below the root. */
  copyChildren(from: number, to: number, path: FilePath): void {
    for (const name of readNames(from))
      this.copy({ fd: from, path: name }, { fd: to, path: name }, joinPath(path, name));
  }

  /** Copies an entry, with all that it holds, to a name that is free. @param path Of `to`, below the root. */
  copy(from: At, to: At, path: FilePath): void {
    this.#checkAborted();
    const stat = lstatAt(from);
    if (!stat.isDirectory()) {
      this.#copyFile({ ...from, stat }, to, path);
      return;
    }
    mkdirAt(to, 0o700);
    const source = openDirectoryAt(from);
    let target: number | undefined;
    try {
      target = openDirectoryAt(to);
      this.copyChildren(source, target, path);
    } finally {
      closeSync(source);
      if (target !== undefined) closeSync(target);
    }
    // After the children, whose creation changes the times.
    copyDirectoryAttributes(from, to);
  }

  #copyFile(from: At & { readonly stat: FileStat }, to: At, path: FilePath): void {
    const { stat } = from;
    const first = stat.linkCount > 1 ? this.#firstPaths.get(stat.inode) : undefined;
    if (first !== undefined && this.#link(first, to)) return;
    copyEntryAt(from, to, { attributes: attributesOf(stat), checkAborted: this.#checkAborted });
    if (stat.linkCount > 1) this.#firstPaths.set(stat.inode, path);
  }

  #link(first: FilePath, to: At): boolean {
    try {
      linkAt({ fd: this.#root, path: first }, to);
      return true;
    } catch (error) {
      // Too many links, too long a path, or replaced by a later layer: then it is copied once more.
      if (hasErrno(error, "EMLINK", "ENAMETOOLONG", "ENOENT", "ENOTDIR", "EPERM")) return false;
      throw error;
    }
  }
}
