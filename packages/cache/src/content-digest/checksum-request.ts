import type { Digest } from "@buildkit-ts/oci";
import { FileTreeSource } from "./file-tree-source.ts";
import type { ChecksumQuery } from "./select-paths.ts";
import { SourceNeeded, TreeChecksums } from "./tree-checksums.ts";
import { TreeMemory } from "./tree-memory.ts";

/** What the worker thread is asked. */
export interface ChecksumRequest {
  readonly query: ChecksumQuery;
  /** What is known of the tree. */
  readonly known: Uint8Array | undefined;
  /** Where the tree is mounted, if it is. */
  readonly root: string | undefined;
}

/** What the worker thread answers. */
export type ChecksumAnswer =
  | { readonly kind: "sourceNeeded" }
  | {
      readonly kind: "done";
      readonly digest: Digest;
      /** What is known of the tree now, if that is more. */
      readonly known: Uint8Array | undefined;
    };

/** Does a request. Synchronous: it hashes files. */
export function checksumTree(
  request: ChecksumRequest,
  checkAborted: () => void,
  memory: TreeMemory = new TreeMemory(),
): ChecksumAnswer {
  const tree = memory.take(request.known);
  using source = request.root === undefined ? undefined : new FileTreeSource(request.root, checkAborted);
  const checksums = new TreeChecksums(tree, source);
  try {
    const digest = checksums.checksum(request.query);
    if (checksums.hasChanged) return { kind: "done", digest, known: memory.keep(tree) };
    memory.keepUnchanged(tree, request.known);
    return { kind: "done", digest, known: undefined };
  } catch (error) {
    if (error instanceof SourceNeeded) return { kind: "sourceNeeded" };
    throw error;
  }
}
