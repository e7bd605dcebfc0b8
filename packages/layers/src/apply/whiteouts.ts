import {
  type At,
  findLstatAt,
  hasErrno,
  lstatAt,
  mknodAt,
  pathOfAt,
  readNames,
  removeTreeAt,
  S_IFCHR,
  setXattr,
} from "@buildkit-ts/sys";
import { openChildDirectory } from "../make/same-file.ts";
import { nameText } from "../make/tree-change.ts";
import type { TargetDirectory } from "./target-tree.ts";

/** How what a layer deletes is put into effect in its target. */
export interface WhiteoutForm {
  /** `NAME` of lower layers is gone. Tells whether names of the target were removed. */
  delete(at: At, isOfThisLayer: boolean): boolean;
  /** All that lower layers have in the directory is gone. */
  makeOpaque(at: At, directory: TargetDirectory, isOfThisLayer: (id: string, name: string) => boolean): boolean;
  /** A directory of this layer takes the place of what was `replaced` under its name. */
  directoryMade(at: At, replaced: "nothing" | "whiteout" | "file"): void;
}

/** An overlay upper directory: device nodes 0:0 and opaque marks. */
export const overlayForm: WhiteoutForm = {
  delete: (at, isOfThisLayer) => {
    const existing = findLstatAt(at);
    if (existing === undefined) mknodAt(at, S_IFCHR, { major: 0, minor: 0 });
    // A name that this layer also has hides the lower one anyway; only directories would be merged with it.
    else if (existing.isDirectory() && isOfThisLayer) markOpaque(pathOfAt(at));
    return false;
  },
  makeOpaque: (at) => {
    markOpaque(pathOfAt(at));
    return false;
  },
  directoryMade: (at, replaced) => {
    // Without the mark the directory would be merged with the one that the whiteout hid.
    if (replaced === "whiteout") markOpaque(pathOfAt(at));
  },
};

function markOpaque(path: Parameters<typeof setXattr>[0]): void {
  const mark = Buffer.from("y");
  try {
    setXattr(path, "trusted.overlay.opaque", mark);
  } catch (error) {
    // In a user namespace overlay is mounted with `userxattr` and reads this one.
    if (!hasErrno(error, "EPERM")) throw error;
    setXattr(path, "user.overlay.opaque", mark);
  }
}

/** A tree that holds the lower layers too: what is deleted is removed. */
export const mergedForm: WhiteoutForm = {
  delete: (at, isOfThisLayer) => (isOfThisLayer ? false : removeTreeAt(at)),
  makeOpaque: (at, _directory, isOfThisLayer) => clearLower(at, isOfThisLayer),
  directoryMade: () => undefined,
};

function clearLower(at: At, isOfThisLayer: (id: string, name: string) => boolean): boolean {
  using directory = openChildDirectory(at);
  const { device, inode } = directory.stat();
  const id = `${device.major}:${device.minor}:${inode}`;
  let removed = false;
  for (const name of readNames(directory.fd)) {
    const child = { fd: directory.fd, path: name };
    if (!isOfThisLayer(id, nameText(name))) removed = removeTreeAt(child) || removed;
    else if (lstatAt(child).isDirectory()) removed = clearLower(child, isOfThisLayer) || removed;
  }
  return removed;
}
