import type { Hash } from "node:crypto";
import { encodeBytes, fileHeaderHash } from "@buildkit-ts/tar";
import { type FileStat, isDirectory, isSymlink, systemMode } from "./file-stat.ts";

/** What of an entry that came is known without reading it again. */
export type ReceivedDigest =
  | { readonly kind: "file" | "directory"; readonly path: string; readonly digest: string }
  | { readonly kind: "symlink"; readonly path: string; readonly digest: string; readonly linkName: string }
  /** A second name of the file `linkName`, with the same digest. */
  | { readonly kind: "hardLink"; readonly path: string; readonly linkName: string };

/** A sender decides how many entries there are; beyond this number the tree is read when a digest is wanted. */
const maxDigests = 1_000_000;

/**
 * Digests of what is received, computed while the bytes are in memory: of attributes and content as BuildKit's content
 * keys have them, `sha256:` and hex digits.
 */
export class ReceivedDigests {
  readonly #hashes = new Map<number, Hash>();
  #entries: ReceivedDigest[] | undefined = [];

  /** Undefined, if there were too many. */
  get entries(): readonly ReceivedDigest[] | undefined {
    return this.#entries;
  }

  /** An entry without content. */
  add(stat: FileStat): void {
    const { path, linkName } = stat;
    if (isSymlink(stat)) this.#push({ kind: "symlink", path, digest: finish(hashOf(stat)), linkName });
    else if (linkName !== "") this.#push({ kind: "hardLink", path, linkName });
    else this.#push({ kind: isDirectory(stat) ? "directory" : "file", path, digest: finish(hashOf(stat)) });
  }

  beginFile(id: number, stat: FileStat): void {
    this.#hashes.set(id, hashOf(stat));
  }

  update(id: number, data: Uint8Array): void {
    this.#hashes.get(id)?.update(data);
  }

  finishFile(id: number, { path }: FileStat): void {
    const hash = this.#hashes.get(id);
    this.#hashes.delete(id);
    if (hash !== undefined) this.#push({ kind: "file", path, digest: finish(hash) });
  }

  #push(entry: ReceivedDigest): void {
    this.#entries?.push(entry);
    if (this.#entries !== undefined && this.#entries.length > maxDigests) this.#entries = undefined;
  }
}

function hashOf(stat: FileStat): Hash {
  const { uid, gid, size, devMajor, devMinor, xattrs } = stat;
  return fileHeaderHash({
    mode: systemMode(stat.mode),
    uid,
    gid,
    sizeBytes: size,
    device: { major: devMajor, minor: devMinor },
    ...(isSymlink(stat) && { linkname: stat.linkName.isWellFormed() ? stat.linkName : encodeBytes(stat.linkName) }),
    ...(xattrs !== undefined && { xattrs }),
  });
}

function finish(hash: Hash): string {
  return `sha256:${hash.digest("hex")}`;
}
