import { type FilePath, findLstatAt, readlinkAt, readNames } from "@buildkit-ts/sys";
import type { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, goModeFrom, isDirectory, isSymlink } from "./file-stat.ts";
import { pathText } from "./path-text.ts";

interface Level {
  readonly path: string;
  readonly names: readonly FilePath[];
  index: number;
}

/**
 * Reads a tree on disk entry by entry in the order in which file sync sends paths.
 *
 * A directory is listed when the cursor moves on from it, so what is removed or created behind the cursor is not seen.
 */
export class TreeCursor {
  readonly #directories: DirectoryCache;
  readonly #namesIn: (fd: number) => readonly FilePath[];
  readonly #levels: Level[];
  readonly #seenInodes = new Map<number | bigint, string>();
  #pending: FileStat | undefined;
  #current: FileStat | undefined;

  /** @param namesIn Gives the names in an open directory in the order of their bytes. */
  constructor(directories: DirectoryCache, namesIn: (fd: number) => readonly FilePath[] = readNames) {
    this.#directories = directories;
    this.#namesIn = namesIn;
    this.#levels = [{ path: "", names: namesIn(directories.directory("")), index: 0 }];
    this.next();
  }

  /** The entry the cursor stands on; undefined behind the last. */
  get current(): FileStat | undefined {
    return this.#current;
  }

  /** Moves on, into a directory if the cursor stands on one. */
  next(): void {
    const entered = this.#pending;
    this.#pending = undefined;
    if (entered !== undefined) {
      const names = this.#namesIn(this.#directories.directory(entered.path));
      this.#levels.push({ path: entered.path, names, index: 0 });
    }
    this.#current = this.#read();
    if (this.#current !== undefined && isDirectory(this.#current)) this.#pending = this.#current;
  }

  /** Moves on past everything inside the directory that the cursor stands on. */
  skip(): void {
    this.#pending = undefined;
    this.next();
  }

  #read(): FileStat | undefined {
    for (;;) {
      const level = this.#levels.at(-1);
      if (level === undefined) return undefined;
      const name = level.names[level.index];
      level.index += 1;
      if (name === undefined) {
        this.#levels.pop();
        continue;
      }
      const stat = this.#stat(level.path, name);
      if (stat !== undefined) return stat;
    }
  }

  #stat(directory: string, name: FilePath): FileStat | undefined {
    const at = { fd: this.#directories.directory(directory), path: name };
    const found = findLstatAt(at);
    if (found === undefined) return undefined;
    const stat: FileStat = {
      path: directory === "" ? pathText(name) : `${directory}/${pathText(name)}`,
      mode: goModeFrom(found.mode),
      uid: found.uid,
      gid: found.gid,
      size: found.isDirectory() ? 0 : found.sizeBytes,
      modTime: found.modificationNs,
      linkName: "",
      devMajor: found.specialDevice.major,
      devMinor: found.specialDevice.minor,
      xattrs: undefined,
    };
    if (isSymlink(stat)) stat.linkName = pathText(readlinkAt(at));
    if (!isDirectory(stat) && found.linkCount > 1) this.#detectHardLink(stat, found.inode);
    return stat;
  }

  /** Says of a second name of a file what a sender says of it. */
  #detectHardLink(stat: FileStat, number: bigint): void {
    // Numbers make faster keys, and few file systems have larger ones.
    const inode = number <= Number.MAX_SAFE_INTEGER ? Number(number) : number;
    const first = this.#seenInodes.get(inode);
    if (first === undefined) {
      this.#seenInodes.set(inode, stat.path);
    } else if (!isSymlink(stat)) {
      stat.linkName = first;
      stat.size = 0;
    }
  }
}
