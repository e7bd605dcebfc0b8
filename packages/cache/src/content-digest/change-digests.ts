import { byteText, keyPath } from "./byte-text.ts";
import type { ContentEntry } from "./content-entry.ts";
import type { DigestTree, TreeNode } from "./digest-tree.ts";
import type { TreeMemory } from "./tree-memory.ts";

/** How a tree differs from another of which digests are known. What is in neither list is as it was. */
export interface DigestChanges {
  /** What is not there any more, with all that was in it, or is something else now. */
  readonly gone: readonly (string | Uint8Array)[];
  /** What is there, parents before or after what they hold. A directory keeps what was in it. */
  readonly entries: readonly ContentEntry[];
  /** Second names of files, by the names that these have in the changed tree. In order: a link may name an earlier one. */
  readonly links: readonly { readonly path: string | Uint8Array; readonly target: string | Uint8Array }[];
}

/** Asks for the digests of a tree that differs from another. */
export interface ChangeRequest {
  readonly kind: "change";
  /** What is known of the other tree. */
  readonly known: Uint8Array;
  readonly changes: DigestChanges;
}

/** What is known of the changed tree; undefined, where that does not say what a link is. */
export function changeDigests({ known, changes }: ChangeRequest, memory: TreeMemory): Uint8Array | undefined {
  const tree = memory.take(known);
  for (const path of changes.gone) tree.remove(cleanPath(path));
  for (const entry of changes.entries) setEntry(tree, entry);
  for (const { path, target } of changes.links) {
    const file = tree.find(cleanPath(target));
    if (file?.kind !== "file" || file.digest === undefined) return undefined;
    setEntry(tree, { path, kind: "file", digest: file.digest });
  }
  return memory.keep(tree);
}

function setEntry(tree: DigestTree, entry: ContentEntry): void {
  const path = cleanPath(entry.path);
  if (path === "") return;
  const node = tree.change(path);
  if (entry.kind !== "directory") makeLeaf(node, entry);
  else {
    // In what was no directory before is nothing but what is told. In a gap is what was there, and that is not all known.
    if (node.kind !== "gap") node.kind = "directory";
    node.header = entry.digest;
  }
}

function makeLeaf(node: TreeNode, { kind, digest, linkname }: ContentEntry): void {
  node.kind = kind;
  node.digest = digest;
  if (kind === "symlink") node.link = byteText(linkname ?? "");
}

function cleanPath(path: string | Uint8Array): string {
  return keyPath(byteText(path));
}
