import { DigestTree } from "./digest-tree.ts";
import { decodeTree, encodeTree } from "./tree-codec.ts";

/** Bytes of a tree beyond which only its code is kept: decoded it takes some ten times as much. */
const maxBytes = 8 << 20;

/**
 * Decodes trees, and remembers the last one: what is asked of a tree, and what is made of it, mostly comes at once. It belongs to
 * whoever takes it until it is kept again; one that was left half-way is not remembered.
 */
export class TreeMemory {
  #last: { readonly bytes: Uint8Array; readonly tree: DigestTree } | undefined;

  /** The tree of these bytes, to be changed at will; without bytes, one of which nothing is known. */
  take(bytes: Uint8Array | undefined): DigestTree {
    const last = this.#last;
    this.#last = undefined;
    if (bytes === undefined) return new DigestTree();
    if (last?.bytes.length === bytes.length && Buffer.compare(last.bytes, bytes) === 0) return last.tree;
    return decodeTree(bytes);
  }

  /** Gives the bytes of a tree. */
  keep(tree: DigestTree): Uint8Array {
    const bytes = encodeTree(tree);
    this.keepUnchanged(tree, bytes);
    return bytes;
  }

  /** @param bytes Those from which the tree was taken. */
  keepUnchanged(tree: DigestTree, bytes: Uint8Array | undefined): void {
    if (bytes !== undefined && bytes.length <= maxBytes) this.#last = { bytes, tree };
  }
}
