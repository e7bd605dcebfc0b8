import { rm } from "node:fs/promises";
import { AT_FDCWD, hasErrno, removeTreeAt } from "@buildkit-ts/sys";

/** Removes a tree that was unpacked into a directory of ours, if it is there. */
export async function removeUnpacked(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    // A path of the tree's can be as long as any; with ours before it, it is too long to be named.
    if (!hasErrno(error, "ENAMETOOLONG")) throw error;
    removeTreeAt({ fd: AT_FDCWD, path });
  }
}
