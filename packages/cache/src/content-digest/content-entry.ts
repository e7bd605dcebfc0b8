import type { Digest } from "@buildkit-ts/oci";

/** What is known of one path of a tree, by whoever wrote it there. The root itself has no entry. */
export interface ContentEntry {
  /** Relative to the tree's root; bytes, where the name is no UTF-8. */
  readonly path: string | Uint8Array;
  readonly kind: "file" | "directory" | "symlink";
  /** Of `fileHeaderHash()` of the tar package and, for regular files, the bytes after it. A hard link has that of its target. */
  readonly digest: Digest;
  /** What a symbolic link says. */
  readonly linkname?: string | Uint8Array;
}
