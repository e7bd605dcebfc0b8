import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { AT_FDCWD, applyAttributesAt, attributesOf, copyXattrs, lstatAt, readNames, renameAt } from "@buildkit-ts/sys";

// No layer gives the root such a mode, so it tells whether the layer had an entry for the root at all.
const untouchedMode = 0o1701;

/** Makes an empty directory for {@linkcode moveTreeInto} to move from. */
export function createStagingDirectory(path: string): void {
  mkdirSync(path);
  chmodSync(path, untouchedMode);
}

/**
 * Moves what a staging directory holds into an empty one on the same file system, with the directory's own owner, mode,
 * times and extended attributes if they were set. Takes one rename for each entry at the top, however large the tree.
 */
export function moveTreeInto(from: string, to: string): void {
  const source = openSync(from, "r");
  const target = openSync(to, "r");
  try {
    const attributes = attributesOf(lstatAt({ fd: AT_FDCWD, path: from }));
    for (const name of readNames(source)) renameAt({ fd: source, path: name }, { fd: target, path: name });
    copyXattrs(from, to);
    if (attributes.mode !== untouchedMode)
      applyAttributesAt({ fd: AT_FDCWD, path: to }, { attributes, isSymbolicLink: false });
  } finally {
    closeSync(source);
    closeSync(target);
  }
}
