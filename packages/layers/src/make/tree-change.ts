import { type At, type FilePath, type FileStat, fileName } from "@buildkit-ts/sys";
import { decodeBytes, encodeBytes } from "@buildkit-ts/tar";

/** A file of the upper tree. `at` is only valid until the next change is asked for. */
export interface ChangedFile {
  /** Below the root, without a slash at the beginning; bytes that are no UTF-8 escaped as the tar package does. */
  readonly path: string;
  readonly at: At;
  readonly stat: FileStat;
}

/**
 * One difference between two trees, in the order of Go's `filepath.Walk`. A deleted directory is one change. *Unmodified*
 * are files with several links only: a link to them that was added must name them.
 */
export type TreeChange =
  | ({ readonly kind: "added" | "modified" | "unmodified" } & ChangedFile)
  | { readonly kind: "deleted"; readonly path: string };

/** Text of a name as it was read from a directory. */
export function nameText(name: FilePath): string {
  return typeof name === "string" ? name : decodeBytes(name);
}

/** A path or name as the kernel takes it. */
export function nameBytes(text: string): FilePath {
  return text.isWellFormed() ? text : fileName(encodeBytes(text));
}

export function joinPath(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}
