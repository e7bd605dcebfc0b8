import { encodeBytes, fileHeader } from "@buildkit-ts/tar";
import { ContentDigest, headerDigest } from "./content-digest.ts";
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
  readonly #receiving = new Map<number, ContentDigest>();
  #entries: ReceivedDigest[] | undefined = [];

  /** Undefined, if there were too many. */
  get entries(): readonly ReceivedDigest[] | undefined {
    return this.#entries;
  }

  /** An entry without content. */
  add(stat: FileStat): void {
    const { path, linkName } = stat;
    if (isSymlink(stat)) this.#push({ kind: "symlink", path, digest: headerDigest(headerOf(stat)), linkName });
    else if (linkName !== "") this.#push({ kind: "hardLink", path, linkName });
    else this.#push({ kind: isDirectory(stat) ? "directory" : "file", path, digest: headerDigest(headerOf(stat)) });
  }

  beginFile(id: number, stat: FileStat): void {
    this.#receiving.set(id, new ContentDigest(headerOf(stat), stat.size));
  }

  update(id: number, data: Uint8Array): void {
    this.#receiving.get(id)?.update(data);
  }

  finishFile(id: number, { path }: FileStat): void {
    const digest = this.#receiving.get(id);
    this.#receiving.delete(id);
    if (digest !== undefined) this.#push({ kind: "file", path, digest: digest.finish() });
  }

  #push(entry: ReceivedDigest): void {
    this.#entries?.push(entry);
    if (this.#entries !== undefined && this.#entries.length > maxDigests) this.#entries = undefined;
  }
}

function headerOf(stat: FileStat): string | Uint8Array {
  const { uid, gid, size, devMajor, devMinor, xattrs } = stat;
  return fileHeader({
    mode: systemMode(stat.mode),
    uid,
    gid,
    sizeBytes: size,
    device: { major: devMajor, minor: devMinor },
    ...(isSymlink(stat) && { linkname: stat.linkName.isWellFormed() ? stat.linkName : encodeBytes(stat.linkName) }),
    ...(xattrs !== undefined && { xattrs }),
  });
}
