import { closeSync, constants, readdirSync, readSync } from "node:fs";
import { freeBuffer } from "@buildkit-ts/compression";
import type { Digest } from "@buildkit-ts/oci";
import {
  type FilePath,
  type FileStat,
  fileName,
  findLstatAt,
  findXattr,
  hasErrno,
  listXattrs,
  lstatAt,
  openInRoot,
  pathOfAt,
  RootedDirectory,
  readlinkAt,
  statOf,
} from "@buildkit-ts/sys";
import { fileHeaderHash, type HashedAttributes, isHashedXattr } from "@buildkit-ts/tar";
import { byteText } from "./byte-text.ts";
import { type DigestTree, joinPath, TreeNode } from "./digest-tree.ts";

const { O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const maxSymlinks = 255;

/** Reads a mounted tree into a {@linkcode DigestTree}. Synchronous, for worker threads. */
export class FileTreeSource implements Disposable {
  readonly #root: RootedDirectory;
  readonly #checkAborted: () => void;
  readonly #buffer = Buffer.allocUnsafeSlow(1 << 20);

  constructor(root: string, checkAborted: () => void) {
    this.#root = RootedDirectory.open(root);
    this.#checkAborted = checkAborted;
  }

  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
    freeBuffer(this.#buffer);
  }

  /** Makes known the directory that holds what the path leads to, with all that is in it, and the links on the way. */
  scan(tree: DigestTree, path: string, followLast: boolean): void {
    const resolved = this.#resolve(tree, path, followLast);
    const directory = resolved === "" ? "" : joinPath(resolved, "..");
    const stat = findLstatAt({ fd: this.#root.fd, path: relative(directory) });
    if (stat === undefined) return;
    const node = tree.ensure(directory);
    if (stat.isDirectory()) this.#scanDirectory(node, directory);
    else if (node.kind === "gap") this.#enter(node, directory, stat.isSymbolicLink() ? "symlink" : "file");
  }

  #resolve(tree: DigestTree, path: string, followLast: boolean): string {
    let current = "";
    let remaining = path;
    let links = 0;
    while (remaining !== "") {
      if (remaining.endsWith("/")) remaining = remaining.slice(0, -1);
      const slash = remaining.indexOf("/");
      const name = slash < 0 ? remaining : remaining.slice(0, slash);
      remaining = slash < 0 ? "" : remaining.slice(slash + 1);
      const next = joinPath(current, name);
      const isLink = next !== "" && this.#isSymlink(next);
      if (!isLink || (!followLast && remaining === "")) {
        current = next;
        continue;
      }
      links += 1;
      if (links > maxSymlinks) throw new Error("too many links");
      const node = tree.ensure(next);
      if (node.kind === "gap") this.#enter(node, next, "symlink");
      remaining = `${node.link}/${remaining}`;
      if (node.link.startsWith("/")) current = "";
    }
    return current;
  }

  #isSymlink(path: string): boolean {
    try {
      return findLstatAt({ fd: this.#root.fd, path: relative(path) })?.isSymbolicLink() === true;
    } catch (error) {
      if (hasErrno(error, "ENOTDIR")) return false;
      throw error;
    }
  }

  #scanDirectory(node: TreeNode, path: string): void {
    this.#checkAborted();
    if (node.kind === "gap") node.kind = "directory";
    // An unlisted directory would be taken as wholly known.
    for (const entry of readdirSync(this.#pathOf(path), { encoding: "buffer", withFileTypes: true })) {
      const name = entry.name.toString("latin1");
      const childPath = `${path}/${name}`;
      const child = node.child(name) ?? addChild(node, name);
      if (entry.isDirectory()) this.#scanDirectory(child, childPath);
      else if (child.kind === "gap") this.#enter(child, childPath, entry.isSymbolicLink() ? "symlink" : "file");
    }
  }

  #enter(node: TreeNode, path: string, kind: "file" | "symlink"): void {
    node.kind = kind;
    if (kind === "symlink") node.link = byteText(readlinkAt({ fd: this.#root.fd, path: relative(path) }));
  }

  #pathOf(path: string): FilePath {
    return pathOfAt({ fd: this.#root.fd, path: relative(path) });
  }

  /** What the kernel says of a path itself. */
  attributes(path: string): HashedAttributes {
    return attributesOf(lstatAt({ fd: this.#root.fd, path: relative(path) }));
  }

  /** The digest that a regular file would have, had it other attributes. */
  digestAs(path: string, attributes: { readonly mode: number; readonly uid: number; readonly gid: number }): Digest {
    return this.#digestFile(path, attributes);
  }

  /** The digest of a path by itself: a directory's is that of its attributes. */
  digest(path: string): Digest {
    this.#checkAborted();
    const stat = lstatAt({ fd: this.#root.fd, path: relative(path) });
    if (stat.isFile()) return this.#digestFile(path);
    const linkname = stat.isSymbolicLink() ? readlinkAt({ fd: this.#root.fd, path: relative(path) }) : "";
    // Device numbers are left out, as BuildKit leaves them out when it reads a tree.
    const xattrs = readXattrs(this.#pathOf(path));
    return toDigest(fileHeaderHash({ ...attributesOf(stat), linkname, xattrs }).digest("hex"));
  }

  #digestFile(path: string, attributes: Partial<HashedAttributes> = {}): Digest {
    // O_NONBLOCK: should the name be a FIFO by now, opening it must not wait for a writer.
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    const fd = openInRoot(this.#root.fd, relative(path), { flags });
    try {
      const stat = statOf(fd);
      const hash = fileHeaderHash({ ...attributesOf(stat), ...attributes, xattrs: readXattrs(fd) });
      for (let left = stat.sizeBytes; left > 0; ) {
        this.#checkAborted();
        const count = readSync(fd, this.#buffer, 0, this.#buffer.length, null);
        if (count === 0) break;
        left -= count;
        hash.update(this.#buffer.subarray(0, count));
      }
      return toDigest(hash.digest("hex"));
    } finally {
      closeSync(fd);
    }
  }
}

function addChild(node: TreeNode, name: string): TreeNode {
  const child = new TreeNode(name, "gap");
  node.add(child);
  return child;
}

function attributesOf({ mode, uid, gid, sizeBytes }: FileStat): HashedAttributes {
  return { mode, uid, gid, sizeBytes };
}

function readXattrs(target: number | FilePath): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  for (const name of listXattrs(target)) {
    const value = isHashedXattr(name) ? findXattr(target, name) : undefined;
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

/** The path below the root as system calls take it. */
function relative(path: string): FilePath {
  return path === "" ? "." : fileName(Buffer.from(path.slice(1), "latin1"));
}

function toDigest(hex: string): Digest {
  return `sha256:${hex}` as Digest;
}
