import type { FileStat } from "./file-stat.ts";

/** One entry of a tree to be sent; entries come in the order of {@linkcode comparePaths}. */
export interface SendEntry {
  readonly stat: FileStat;
  /** Where a regular file's bytes are: a path on disk, or the bytes. */
  readonly content: string | Uint8Array | undefined;
  /** The file on disk as it was when it was listed; what is another by the time it is sent is an error. */
  readonly listed?: ListedFile;
}

/** By what a file is known to be the same still. Not by its inode: some file systems number anew what they forgot. */
export interface ListedFile {
  readonly sizeBytes: number;
  readonly modificationNs: bigint;
}

/** Puts a tree below a directory of the tree that is sent. */
export function* prefixEntries(directory: FileStat, entries: Iterable<SendEntry>): Generator<SendEntry, void> {
  const prefix = directory.path;
  yield { stat: directory, content: undefined };
  for (const { stat, ...rest } of entries) {
    const isLink = stat.linkName !== "";
    const isSymbolic = Math.floor(stat.mode / 2 ** 27) % 2 === 1;
    // A hard link names an entry of the tree, an absolute symlink a file in it; a relative one stays as it is.
    const linkName = !isLink
      ? ""
      : isSymbolic
        ? stat.linkName.startsWith("/")
          ? `/${prefix}${stat.linkName}`
          : stat.linkName
        : `${prefix}/${stat.linkName}`;
    yield { stat: { ...stat, path: `${prefix}/${stat.path}`, linkName }, ...rest };
  }
}
