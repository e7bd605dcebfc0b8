import { closeSync, openSync } from "node:fs";
import { copyXattrs, readNames, renameAt } from "@buildkit-ts/sys";

/**
 * Moves what a directory holds into an empty one on the same file system, with the extended attributes of the directory.
 * Takes one rename for each entry at the top, however large the tree.
 */
export function moveTreeInto(from: string, to: string): void {
  const source = openSync(from, "r");
  const target = openSync(to, "r");
  try {
    for (const name of readNames(source)) renameAt({ fd: source, path: name }, { fd: target, path: name });
    copyXattrs(from, to);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}
