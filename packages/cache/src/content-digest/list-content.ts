import type { Digest } from "@buildkit-ts/oci";
import type { HashedAttributes } from "@buildkit-ts/tar";
import { byteText, keyPath, utf8Text } from "./byte-text.ts";
import { type ContentListing, type ListedEntry, ListingBuilder } from "./content-listing.ts";
import type { DigestTree, TreeNode } from "./digest-tree.ts";
import { FileTreeSource } from "./file-tree-source.ts";
import { type ChecksumQuery, selectPaths } from "./select-paths.ts";
import { TreeChecksums } from "./tree-checksums.ts";
import { TreeMemory } from "./tree-memory.ts";

/** Asks for what some checksums are made of. */
export interface ListRequest {
  readonly kind: "list";
  readonly queries: readonly ChecksumQuery[];
  /** What is known of the tree. */
  readonly known: Uint8Array | undefined;
  /** Where the tree is mounted. */
  readonly root: string;
}

/** A file as it would be with other attributes. */
export interface FileQuestion {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly digest: Digest;
}

/** Asks which files would have a digest if they had other attributes. */
export interface BytesRequest {
  readonly kind: "bytes";
  readonly files: readonly FileQuestion[];
  readonly root: string;
}

/** Lists what the queries select. Synchronous: it reads directories, and files whose digests are not known. */
export function listContent(
  request: ListRequest,
  checkAborted: () => void,
  memory: TreeMemory = new TreeMemory(),
): ContentListing {
  const tree = memory.take(request.known);
  using source = new FileTreeSource(request.root, checkAborted);
  const checksums = new TreeChecksums(tree, source);
  const lister = new Lister(tree, source);
  for (const query of request.queries) {
    checksums.checksum(query);
    lister.add(query);
  }
  if (!checksums.hasChanged) memory.keepUnchanged(tree, request.known);
  return lister.builder.finish();
}

/** Answers for each file; for those that cannot be read, no. */
export function compareBytes(request: BytesRequest, checkAborted: () => void): readonly boolean[] {
  using source = new FileTreeSource(request.root, checkAborted);
  return request.files.map(({ path, digest, ...attributes }) => {
    try {
      return source.digestAs(byteText(path), attributes) === digest;
    } catch {
      checkAborted();
      return false;
    }
  });
}

class Lister {
  readonly builder = new ListingBuilder();
  readonly #tree: DigestTree;
  readonly #source: FileTreeSource;
  /** Directories that are in the listing: what is in them need not begin at the root. */
  readonly #listed = new Set<string>([""]);

  constructor(tree: DigestTree, source: FileTreeSource) {
    this.#tree = tree;
    this.#source = source;
  }

  add(query: ChecksumQuery): void {
    const isFiltered = query.wildcard || query.includePatterns.length > 0 || query.excludePatterns.length > 0;
    if (isFiltered) {
      for (const { node, realPath } of selectPaths(this.#tree, query).paths) this.#addEntry(node, realPath);
      return;
    }
    const { path, node } = this.#tree.resolve(keyPath(byteText(query.path)), { followLast: query.followLinks });
    if (node !== undefined) this.#addAll(node, path);
  }

  #addAll(node: TreeNode, path: string): void {
    if (path !== "") this.#addEntry(node, path);
    if (node.kind === "directory") for (const child of node.children) this.#addAll(child, `${path}/${child.name}`);
  }

  #addEntry(node: TreeNode, path: string): void {
    const missing: string[] = [];
    for (let parent = parentOf(path); !this.#listed.has(parent); parent = parentOf(parent)) missing.push(parent);
    for (const parent of missing.reverse()) this.#append(parent, this.#entry(parent, "directory"));
    const kind = node.kind === "gap" ? "directory" : node.kind;
    this.#append(path, this.#entry(path, kind, node));
  }

  #append(path: string, entry: ListedEntry): void {
    this.builder.add(path.slice(1).split("/").slice(0, -1).map(utf8Text), entry);
    if (entry.kind === "directory") this.#listed.add(path);
  }

  #attributes(path: string, node: TreeNode | undefined): HashedAttributes {
    if (node === undefined || !hasOwnDigest(node)) return this.#source.attributes(path);
    return (node.attributes ??= this.#source.attributes(path));
  }

  #entry(path: string, kind: ListedEntry["kind"], node?: TreeNode): ListedEntry {
    const { mode, uid, gid, sizeBytes } = this.#attributes(path, node);
    return {
      name: utf8Text(path.slice(path.lastIndexOf("/") + 1)),
      kind,
      mode: mode & 0o7777,
      uid,
      gid,
      sizeBytes: kind === "file" ? sizeBytes : 0,
      digest: node?.digest ?? (node === undefined || kind === "directory" ? ("" as Digest) : this.#source.digest(path)),
      link: node?.kind === "symlink" ? utf8Text(node.link) : undefined,
    };
  }
}

/** Whether all attributes are the same wherever the node is found again: they are part of its digest. */
function hasOwnDigest({ kind, digest, header }: TreeNode): boolean {
  return (kind === "directory" ? header : digest) !== undefined;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}
