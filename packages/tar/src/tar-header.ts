/** What an entry of an archive makes. */
export type TarEntryType = "file" | "directory" | "symlink" | "hardlink" | "character" | "block" | "fifo";

/** One entry of an archive, without its content. */
export interface TarHeader {
  /** Path inside the archive. A directory's ends with a slash where BuildKit's does; bytes that are no UTF-8 are escaped, see {@linkcode decodeBytes}. */
  readonly name: string;
  readonly type: TarEntryType;
  /** Permission bits with setuid, setgid and sticky, no file type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow; 0 for all but files. */
  readonly size: number;
  /** Whole seconds since the epoch, rounded down. */
  readonly mtimeSeconds: number;
  /** 0 to 999,999,999; absent means 0. */
  readonly mtimeNanoseconds?: number;
  /** Target of a symlink, or the name of the earlier entry that a hard link shares its inode with. */
  readonly linkName?: string;
  readonly userName?: string;
  readonly groupName?: string;
  /** Extended attributes by full name, such as `security.capability`. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
}

/** Archives consist of blocks of this many bytes. */
export const tarBlockSize = 512;

/** Zero bytes that follow `size` bytes of content. */
export function tarPadding(size: number): number {
  return (tarBlockSize - (size % tarBlockSize)) % tarBlockSize;
}

/** The type flag of each type (POSIX.1-2001 pax, "ustar Interchange Format"). */
export const typeFlags: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};
