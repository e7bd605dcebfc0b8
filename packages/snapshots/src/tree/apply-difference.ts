import { closeSync, constants, readSync } from "node:fs";
import {
  type AbortCheck,
  AT_FDCWD,
  type At,
  type FilePath,
  type FileStat,
  findLstatAt,
  findXattr,
  joinPath,
  listXattrs,
  lstatAt,
  openAt,
  openDirectoryAt,
  pathOfAt,
  readlinkAt,
  readNames,
  removeTreeAt,
} from "@buildkit-ts/sys";
import { copyDirectoryAttributes, TreeCopier } from "./copy-tree.ts";

export interface ApplyDifferenceOptions {
  /** Undefined is an empty tree. */
  readonly lower: string | undefined;
  readonly upper: string;
  readonly target: string;
}

/**
 * Makes the changes that lead from one tree to another in a third one, by comparing the first two. The third holds all of
 * `lower` already, since the layers of a chain are applied one after the other.
 */
export function applyDifference(options: ApplyDifferenceOptions, checkAborted: AbortCheck): void {
  const lower = options.lower === undefined ? undefined : openDirectoryAt({ fd: AT_FDCWD, path: options.lower });
  const upper = openDirectoryAt({ fd: AT_FDCWD, path: options.upper });
  const target = openDirectoryAt({ fd: AT_FDCWD, path: options.target });
  try {
    new DifferenceApplier(target, checkAborted).applyChildren({ lower, upper, target }, "");
    copyDirectoryAttributes({ fd: AT_FDCWD, path: options.upper }, { fd: AT_FDCWD, path: options.target });
  } finally {
    for (const fd of [lower, upper, target]) if (fd !== undefined) closeSync(fd);
  }
}

interface Directories {
  readonly lower: number | undefined;
  readonly upper: number;
  readonly target: number;
}

class DifferenceApplier {
  readonly #copier: TreeCopier;
  readonly #checkAborted: AbortCheck;

  constructor(root: number, checkAborted: AbortCheck) {
    this.#copier = new TreeCopier(root, checkAborted);
    this.#checkAborted = checkAborted;
  }

  applyChildren(directories: Directories, path: FilePath): void {
    const names = readNames(directories.upper);
    const kept = new Set(names.map(nameKey));
    for (const name of directories.lower === undefined ? [] : readNames(directories.lower)) {
      if (!kept.has(nameKey(name))) removeTreeAt({ fd: directories.target, path: name }, this.#checkAborted);
    }
    for (const name of names) this.#applyEntry(directories, name, joinPath(path, name));
  }

  #applyEntry({ lower, upper, target }: Directories, name: FilePath, path: FilePath): void {
    this.#checkAborted();
    const from = { fd: upper, path: name, stat: lstatAt({ fd: upper, path: name }) };
    const to = { fd: target, path: name };
    const before = lower === undefined ? undefined : findEntry({ fd: lower, path: name });
    const existing = findLstatAt(to);
    if (from.stat.isDirectory() && existing?.isDirectory() === true) {
      this.#applyDirectory(from, to, { lower: before?.stat.isDirectory() === true ? before : undefined, path });
      return;
    }
    if (before !== undefined && isSameFile(before, from)) return;
    if (existing !== undefined) removeTreeAt(to, this.#checkAborted);
    this.#copier.copy(from, to, path);
  }

  #applyDirectory(from: Entry, to: At, options: { readonly lower: Entry | undefined; readonly path: FilePath }): void {
    const lower = options.lower === undefined ? undefined : openDirectoryAt(options.lower);
    const upper = openDirectoryAt(from);
    const target = openDirectoryAt(to);
    try {
      this.applyChildren({ lower, upper, target }, options.path);
    } finally {
      for (const fd of [lower, upper, target]) if (fd !== undefined) closeSync(fd);
    }
    if (options.lower === undefined || !hasSameAttributes(options.lower, from)) copyDirectoryAttributes(from, to);
  }
}

function nameKey(name: FilePath): string {
  return typeof name === "string" ? name : `\0${name.toString("latin1")}`;
}

type Entry = At & { readonly stat: FileStat };

function findEntry(at: At): Entry | undefined {
  const stat = findLstatAt(at);
  return stat === undefined ? undefined : { ...at, stat };
}

function hasSameAttributes(before: Entry, after: Entry): boolean {
  const [a, b] = [before.stat, after.stat];
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && hasSameXattrs(before, after);
}

/** Whether a file is the same in both trees. Copies keep times to the nanosecond, so content is compared only where those are missing. */
function isSameFile(before: Entry, after: Entry): boolean {
  const [a, b] = [before.stat, after.stat];
  if (b.isDirectory() || !hasSameAttributes(before, after)) return false;
  if (a.isSymbolicLink()) return String(readlinkAt(before)) === String(readlinkAt(after));
  if (a.specialDevice.major !== b.specialDevice.major || a.specialDevice.minor !== b.specialDevice.minor) return false;
  if (a.sizeBytes !== b.sizeBytes || a.modificationNs !== b.modificationNs) return false;
  return !a.isFile() || a.modificationNs % 1_000_000_000n !== 0n || hasSameContent(before, after);
}

function hasSameXattrs(before: At, after: At): boolean {
  const [a, b] = [pathOfAt(before), pathOfAt(after)];
  const names = listXattrs(a);
  if (names.length !== listXattrs(b).length) return false;
  return names.every((name) => {
    const value = findXattr(b, name);
    return value !== undefined && findXattr(a, name)?.equals(value) === true;
  });
}

function hasSameContent(before: At, after: At): boolean {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const a = openAt(before, flags);
  const b = openAt(after, flags);
  try {
    const [left, right] = [Buffer.allocUnsafe(1 << 16), Buffer.allocUnsafe(1 << 16)];
    for (;;) {
      const count = readSync(a, left, 0, left.length, null);
      if (count !== readSync(b, right, 0, right.length, null)) return false;
      if (count === 0) return true;
      if (left.compare(right, 0, count, 0, count) !== 0) return false;
    }
  } finally {
    closeSync(a);
    closeSync(b);
  }
}
