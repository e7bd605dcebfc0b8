import { AT_REMOVEDIR, type At, hasErrno, readNames, unlinkAt } from "@buildkit-ts/sys";
import { openChildDirectory } from "../make/same-file.ts";

/** Deletes a name and all below it; nothing is followed, and a name that is not there is no error. Tells whether something was deleted. */
export function removeTree(at: At): boolean {
  try {
    unlinkAt(at);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    if (!hasErrno(error, "EISDIR")) throw error;
  }
  {
    using directory = openChildDirectory(at);
    for (const name of readNames(directory.fd)) removeTree({ fd: directory.fd, path: name });
  }
  unlinkAt(at, AT_REMOVEDIR);
  return true;
}
