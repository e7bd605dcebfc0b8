import { closeSync, constants, ftruncateSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type AbortCheck,
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  type At,
  applyAttributesAt,
  type FileAttributes,
  hasErrno,
  linkAt,
  mkdirAt,
  mknodAt,
  O_PATH,
  openAt,
  openInRoot,
  pathOfAt,
  removeTreeAt,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  setXattr,
  symlinkAt,
  utimesAt,
} from "@buildkit-ts/sys";
import { type DecodedTarEntry, splitTarName, type TarHeader } from "@buildkit-ts/tar";
import type { Owner } from "../file-actions.ts";
import { makeDirectories } from "./make-directories.ts";
import { withPath } from "./path-error.ts";
import { isPortableXattr } from "./portable-xattr.ts";
import { encodeName, type TreeRoot } from "./tree-root.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

export interface ArchiveExtractorOptions {
  /** Owns everything; those of the archive do if undefined. */
  readonly owner: Owner | undefined;
  readonly checkAborted: AbortCheck;
  /** Called before zeros that the archive does not hold; throws to stop. */
  readonly onHole: (length: number) => void;
}

/**
 * Writes the entries of an archive into a tree. What is in the way is replaced, except directories by directories.
 * Names that mark deletions in layers mean nothing here.
 */
export class ArchiveExtractor {
  readonly #root: TreeRoot;
  readonly #options: ArchiveExtractorOptions;
  readonly #directories: { readonly path: string; readonly timeNs: bigint }[] = [];

  constructor(root: TreeRoot, options: ArchiveExtractorOptions) {
    this.#root = root;
    this.#options = options;
  }

  async extract({ header, pieces }: DecodedTarEntry): Promise<void> {
    this.#options.checkAborted();
    const parts = splitTarName(header.name);
    const name = parts.pop();
    // The root itself keeps what it has.
    if (name === undefined) return;
    const parent = this.#root.resolve(`/${parts.join("/")}`, { followLast: true });
    makeDirectories(this.#root, parent, { mode: 0o755, owner: this.#options.owner, timestampNs: undefined });
    const path = posix.join(parent, name);
    using at = this.#root.openParent(path);
    const existing = this.#root.findLstat(path);
    const isMerged = existing?.isDirectory() === true && header.type === "directory";
    if (existing !== undefined && !isMerged) {
      withPath("unlinkat", path, () => removeTreeAt(at, this.#options.checkAborted));
    }
    if (header.type === "file") await this.#writeFile(at, path, pieces);
    else withPath(header.type, path, () => this.#make(at, header, isMerged));
    if (header.type === "hardlink") return;
    withPath("chown", path, () => this.#applyAttributes(at, header));
    if (header.type === "directory") this.#directories.push({ path, timeNs: timeOf(header) });
  }

  /** Sets the times of directories, which changed with what was put into them. */
  finish(): void {
    for (const { path, timeNs } of this.#directories.toReversed()) {
      // A later entry may have replaced it.
      if (this.#root.findLstat(path)?.isDirectory() !== true) continue;
      using at = this.#root.openParent(path);
      utimesAt(at, { accessNs: timeNs, modificationNs: timeNs });
    }
  }

  async #writeFile(at: At, path: string, pieces: DecodedTarEntry["pieces"]): Promise<void> {
    const fd = withPath("open", path, () => openAt(at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    try {
      let end = 0;
      for await (const piece of pieces) {
        const start = end;
        end += "holeBytes" in piece ? piece.holeBytes : piece.length;
        if ("holeBytes" in piece) {
          this.#options.onHole(piece.holeBytes);
          withPath("truncate", path, () => ftruncateSync(fd, end));
        } else withPath("write", path, () => writeAll(fd, piece, start));
      }
    } finally {
      closeSync(fd);
    }
  }

  #make(at: At, header: TarHeader, isMerged: boolean): void {
    const device = { major: header.deviceMajor ?? 0, minor: header.deviceMinor ?? 0 };
    switch (header.type) {
      case "directory":
        if (!isMerged) mkdirAt(at, 0o700);
        return;
      case "symlink":
        symlinkAt(encodeName(header.linkName ?? ""), at);
        return;
      case "hardlink":
        this.#link(header.linkName ?? "", at);
        return;
      case "character":
        mknodAt(at, S_IFCHR | 0o600, device);
        return;
      case "block":
        mknodAt(at, S_IFBLK | 0o600, device);
        return;
      case "fifo":
        mknodAt(at, S_IFIFO | 0o600, { major: 0, minor: 0 });
        return;
      case "file":
        return;
      default:
        throw new BuildError("invalid_argument", `unhandled tar header type ${String(header.type satisfies never)}`);
    }
  }

  #link(linkName: string, to: At): void {
    const target = encodeName(`/${splitTarName(linkName).join("/")}`);
    const fd = openInRoot(this.#root.fd, target, { flags: O_PATH | O_NOFOLLOW });
    try {
      linkAt({ fd: AT_FDCWD, path: `/proc/self/fd/${fd}` }, to, AT_SYMLINK_FOLLOW);
    } finally {
      closeSync(fd);
    }
  }

  #applyAttributes(at: At, header: TarHeader): void {
    const { owner } = this.#options;
    const timeNs = timeOf(header);
    const attributes: FileAttributes = {
      uid: owner?.uid ?? header.uid,
      gid: owner?.gid ?? header.gid,
      mode: header.mode & 0o7777,
      accessNs: timeNs,
      modificationNs: timeNs,
    };
    applyAttributesAt(at, { attributes, isSymbolicLink: header.type === "symlink" });
    // After the owner, whose change removes capabilities.
    for (const [name, value] of header.xattrs ?? []) if (isPortableXattr(name)) setXattrIfPossible(at, name, value);
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}

function setXattrIfPossible(at: At, name: string, value: Uint8Array): void {
  try {
    setXattr(pathOfAt(at), name, value);
  } catch (error) {
    if (!hasErrno(error, "ENOTSUP", "EOPNOTSUPP", "EPERM", "EACCES", "EINVAL", "ERANGE", "E2BIG")) throw error;
  }
}

function timeOf(header: TarHeader): bigint {
  return BigInt(header.mtimeSeconds) * 1_000_000_000n + BigInt(header.mtimeNanoseconds ?? 0);
}
