import { createHash } from "node:crypto";
import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import type { Digest } from "@buildkit-ts/oci";
import { byteText, keyPath, utf8Text } from "./byte-text.ts";
import type { DigestTree, TreeNode } from "./digest-tree.ts";
import { type ChecksumQuery, selectPaths } from "./select-paths.ts";

/** Where a tree's unknown parts can be read. */
export interface TreeSource {
  scan(tree: DigestTree, path: string, followLast: boolean): void;
  digest(path: string): Digest;
}

/** Thrown when something must be read and there is nothing to read from. */
export class SourceNeeded extends Error {}

/** Computes checksums of a tree as BuildKit's `cache/contenthash` does, reading only what is not known yet. */
export class TreeChecksums {
  readonly #tree: DigestTree;
  readonly #source: TreeSource | undefined;
  /** Whether the tree knows more than before. */
  hasChanged = false;

  constructor(tree: DigestTree, source: TreeSource | undefined) {
    this.#tree = tree;
    this.#source = source;
  }

  checksum(query: ChecksumQuery): Digest {
    if (!query.wildcard && query.includePatterns.length === 0 && query.excludePatterns.length === 0)
      return this.#digestAt(byteText(query.path), query.followLinks);
    this.#scan("", false);
    const { prefix, paths } = selectPaths(this.#tree, query);
    const items = paths.map(({ path, realPath, node, isHeader, followLinks }) => ({
      path,
      digest:
        followLinks && node.kind === "symlink"
          ? this.#digestAt(path, query.followLinks)
          : this.#ownDigest(node, { path: realPath, isHeader }),
    }));
    const [only] = items;
    if (only !== undefined && items.length === 1 && baseName(byteText(query.path)) === baseName(only.path))
      return only.digest;
    const hash = createHash("sha256");
    for (const { path, digest } of items) {
      const key = path.startsWith(prefix) ? path.slice(prefix.length) : path;
      hash.update(key === "" ? "\0" : key.replaceAll("/", "\0"), "latin1").update(digest);
    }
    return `sha256:${hash.digest("hex")}` as Digest;
  }

  /** The digest of what a path leads to, a directory's with all that is in it. @throws {BuildError} `unknown` */
  #digestAt(path: string, followLast: boolean): Digest {
    const clean = keyPath(path);
    this.#scan(clean, followLast);
    const { path: resolved, node } = this.#tree.resolve(clean, { followLast });
    if (node === undefined) throw new BuildError("unknown", `${JSON.stringify(utf8Text(clean))}: not found`);
    return this.#fullDigest(node, resolved);
  }

  #scan(path: string, followLast: boolean): void {
    if (!this.#tree.needsScan(path, followLast)) return;
    this.#reader().scan(this.#tree, path, followLast);
    this.hasChanged = true;
  }

  #reader(): TreeSource {
    if (this.#source === undefined) throw new SourceNeeded("The tree must be read");
    return this.#source;
  }

  #fullDigest(node: TreeNode, path: string): Digest {
    if (node.kind !== "directory") return this.#ownDigest(node, { path, isHeader: false });
    if (node.digest !== undefined) return node.digest;
    const hash = createHash("sha256");
    hash.update("\0").update(this.#ownDigest(node, { path, isHeader: true }));
    for (const child of node.children)
      this.#addChild(child, { path, key: "" }, (bytes) => hash.update(bytes, "latin1"));
    node.digest = `sha256:${hash.digest("hex")}` as Digest;
    this.hasChanged = true;
    return node.digest;
  }

  #addChild(
    node: TreeNode,
    parent: { readonly path: string; readonly key: string },
    add: (bytes: string) => void,
  ): void {
    const path = `${parent.path}/${node.name}`;
    const key = `${parent.key}\0${node.name}`;
    add(key);
    add(this.#fullDigest(node, path));
    if (node.kind !== "directory") return;
    // BuildKit skips what is inside a directory by seeking to the key "directory, 0, 0xff". Names that begin with that
    // byte come after it and so count for the parent directory as well.
    for (const child of node.children) if (child.name.startsWith("\xff")) this.#addChild(child, { path, key }, add);
  }

  /** The digest of one entry alone; with `isHeader`, of a directory's attributes. */
  #ownDigest(node: TreeNode, options: { readonly path: string; readonly isHeader: boolean }): Digest {
    const known = options.isHeader ? node.header : node.digest;
    if (known !== undefined) return known;
    const digest = this.#reader().digest(options.path);
    if (options.isHeader) node.header = digest;
    else node.digest = digest;
    this.hasChanged = true;
    return digest;
  }
}

function baseName(path: string): string {
  if (path === "") return ".";
  return posix.basename(path) || "/";
}
