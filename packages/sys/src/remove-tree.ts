import { closeSync, constants } from "node:fs";
import { AT_REMOVEDIR, type At, openAt, renameAt, unlinkAt } from "./at-calls.ts";
import { statOf } from "./file-stat.ts";
import { type AbortCheck, openDirectoryAt } from "./file-tree.ts";
import type { FilePath } from "./native-call.ts";
import { O_PATH } from "./open-in-root.ts";
import { readNames } from "./rooted-directory.ts";
import { hasErrno, SystemError } from "./system-error.ts";

/** Levels that are entered one from the other, each with an open descriptor. */
const maxLevels = 100;
/** The same where deeper directories cannot be moved up; more than any step makes by accident. */
const maxUnmovedLevels = 900;
const ENAMETOOLONG = 36;

/**
 * Removes a file or a whole directory without following any symbolic link. A name that is not there is fine.
 *
 * Trees may be of any depth: whoever made them need not have been able to name the whole path either.
 *
 * @returns Whether something was there.
 */
export function removeTreeAt(at: At, checkAborted?: AbortCheck): boolean {
  const kind = unlinkFile(at);
  if (kind !== "directory") return kind === "file";
  clearDirectoryAt(at, checkAborted);
  unlinkAt(at, AT_REMOVEDIR);
  return true;
}

/** Removes all that a directory holds, and keeps the directory. */
export function clearDirectoryAt(at: At, checkAborted: AbortCheck = () => undefined): void {
  const top = openDirectoryAt(at);
  try {
    const removal = new Removal(top, checkAborted);
    // What was moved up is found by looking again.
    for (let names = readNames(top); names.length > 0; names = readNames(top)) removal.removeAll(top, names);
  } finally {
    closeSync(top);
  }
}

class Removal {
  readonly #top: number;
  readonly #checkAborted: AbortCheck;
  #level = 0;
  #moved = 0;

  constructor(top: number, checkAborted: AbortCheck) {
    this.#top = top;
    this.#checkAborted = checkAborted;
  }

  removeAll(fd: number, names: readonly FilePath[]): void {
    for (const path of names) {
      this.#checkAborted();
      const at = { fd, path };
      if (unlinkFile(at) === "directory") this.#removeDirectory(at);
    }
  }

  #removeDirectory(at: At): void {
    if (this.#level >= maxLevels && this.#moveUp(at)) return;
    if (this.#level >= maxUnmovedLevels) throw new SystemError(ENAMETOOLONG, "rmdir", at.path.toString());
    const fd = openDirectoryAt(at);
    this.#level += 1;
    try {
      this.removeAll(fd, readNames(fd));
    } finally {
      this.#level -= 1;
      closeSync(fd);
    }
    unlinkAt(at, AT_REMOVEDIR);
  }

  #moveUp(at: At): boolean {
    for (;;) {
      this.#moved += 1;
      try {
        renameAt(at, { fd: this.#top, path: `.removed-${this.#moved}` });
        return true;
      } catch (error) {
        // Overlay moves no directory that lies in a lower layer.
        if (hasErrno(error, "EXDEV")) return false;
        if (!hasErrno(error, "EEXIST", "ENOTEMPTY", "ENOTDIR")) throw error;
      }
    }
  }
}

/** What was at the name; a file is gone afterwards. */
function unlinkFile(at: At): "nothing" | "file" | "directory" {
  try {
    unlinkAt(at);
    return "file";
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "nothing";
    // POSIX says EPERM for a directory, Linux EISDIR.
    if (!hasErrno(error, "EISDIR", "EPERM")) throw error;
    if (hasErrno(error, "EPERM") && !isDirectoryAt(at)) throw error;
    return "directory";
  }
}

function isDirectoryAt(at: At): boolean {
  const fd = openAt(at, O_PATH | constants.O_NOFOLLOW);
  try {
    return statOf(fd).isDirectory();
  } finally {
    closeSync(fd);
  }
}
