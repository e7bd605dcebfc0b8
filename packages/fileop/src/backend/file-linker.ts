import { type At, type FileAttributes, type FileStat, hasErrno, linkAt, listXattrs, pathOfAt } from "@buildkit-ts/sys";
import { isPortableXattr } from "./portable-xattr.ts";

/**
 * Gives files of immutable trees a further name in a layer, in place of a copy, where nobody can tell the difference.
 *
 * Neither can who lists hard links: of each layer stack and each copied source, an inode is under one name only, unless
 * the source itself had it under several. So what is in the layers below, or came from an earlier source, is refused.
 */
export class FileLinker {
  readonly #elsewhere: Set<bigint>;
  readonly #linked = new Set<bigint>();
  #isImpossible = false;

  /** @param below The inodes that the layers below share with other trees. */
  constructor(below: Iterable<bigint>) {
    this.#elsewhere = new Set(below);
  }

  /** What was linked until now is refused from here on. */
  beginSource(): void {
    for (const inode of this.#linked) this.#elsewhere.add(inode);
  }

  /** @returns false where the file must be copied; nothing was made then. */
  link(from: At & { readonly stat: FileStat }, to: At, attributes: FileAttributes): boolean {
    const { stat } = from;
    // A shared inode is never changed, so it must be all that the copy would be.
    if (this.#isImpossible || !stat.isFile() || this.#elsewhere.has(stat.inode) || !hasAttributes(stat, attributes))
      return false;
    if (!listXattrs(pathOfAt(from)).every(isPortableXattr)) return false;
    try {
      linkAt(from, to);
    } catch (error) {
      // Of two file systems or mounts no file can be linked; a failed try costs more than a link.
      this.#isImpossible = hasErrno(error, "EXDEV");
      if (this.#isImpossible || hasErrno(error, "EMLINK", "EPERM")) return false;
      throw error;
    }
    this.#linked.add(stat.inode);
    return true;
  }

  get linked(): BigUint64Array<ArrayBuffer> {
    return BigUint64Array.from(this.#linked);
  }
}

/** Times of access are no part of a layer. */
function hasAttributes(stat: FileStat, { uid, gid, mode, modificationNs }: FileAttributes): boolean {
  return (
    stat.uid === uid && stat.gid === gid && (stat.mode & 0o7777) === mode && stat.modificationNs === modificationNs
  );
}
