import { closeSync, constants, fchmodSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type AbortCheck,
  type At,
  chownAt,
  hasErrno,
  openAt,
  removeTreeAt,
  SystemError,
  statOf,
  symlinkAt,
} from "@buildkit-ts/sys";
import type { FileAction } from "../file-actions.ts";
import { makeDirectories, makeDirectory, setTimestamp } from "./make-directories.ts";
import { pathError, withPath } from "./path-error.ts";
import { cleanActionPath, type TreeRoot } from "./tree-root.ts";
import { expandWildcards } from "./wildcards.ts";

type ActionOf<K extends FileAction["kind"]> = Extract<FileAction, { readonly kind: K }>;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants;
const EINVAL = 22;

export function makeDirectoryAction(root: TreeRoot, action: ActionOf<"mkdir">): void {
  const path = root.resolve(action.path, { followLast: true });
  const attributes = { mode: action.mode, owner: action.owner, timestampNs: action.timestampNs };
  if (action.makeParents) {
    makeDirectories(root, path, attributes);
    return;
  }
  try {
    makeDirectory(root, path, attributes);
  } catch (error) {
    // Whatever is there already is left as it is.
    if (!hasErrno(error, "EEXIST")) throw pathError("mkdir", path, error);
  }
}

/** Writes a file. One that is there already keeps its mode. */
export function makeFileAction(root: TreeRoot, action: ActionOf<"mkfile">): void {
  const path = root.resolve(action.path, { followLast: true });
  withPath("open", path, () => {
    using at = root.openParent(path);
    const fd = openForWriting(at, action.mode & 0o777);
    try {
      for (let written = 0; written < action.data.length; ) written += writeSync(fd, action.data, written);
    } finally {
      closeSync(fd);
    }
    if (action.owner !== undefined) chownAt(at, action.owner.uid, action.owner.gid);
  });
  setTimestamp(root, path, action.timestampNs);
}

function openForWriting(at: At, mode: number): number {
  try {
    const fd = openAt(at, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    // Whatever the umask is.
    fchmodSync(fd, mode);
    return fd;
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
  }
  const fd = openAt(at, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
  if (statOf(fd).isFile()) return fd;
  closeSync(fd);
  throw new SystemError(EINVAL, "open", at.path.toString());
}

export function makeSymlinkAction(root: TreeRoot, action: ActionOf<"symlink">): void {
  const path = root.resolve(action.newPath, { followLast: true });
  withPath(`symlink ${action.oldPath}`, path, () => {
    using at = root.openParent(path);
    symlinkAt(action.oldPath, at);
    if (action.owner !== undefined) chownAt(at, action.owner.uid, action.owner.gid);
  });
  setTimestamp(root, path, action.timestampNs);
}

export function removeAction(root: TreeRoot, action: ActionOf<"rm">, checkAborted: AbortCheck): void {
  const paths = action.allowWildcard
    ? expandWildcards(root, cleanActionPath(action.path), { followLast: false })
    : [action.path];
  for (const path of paths) removePath(root, path, { allowNotFound: action.allowNotFound, checkAborted });
}

function removePath(
  root: TreeRoot,
  path: string,
  options: { readonly allowNotFound: boolean; readonly checkAborted: AbortCheck },
): void {
  const clean = posix.join("/", path).replace(/(.)\/$/, "$1");
  if (clean === "/") throw new BuildError("invalid_argument", "rmPath: invalid empty path");
  // A symbolic link is removed, not what it leads to.
  const resolved = root.resolve(clean, { followLast: false });
  if (root.findLstat(resolved) === undefined) {
    if (options.allowNotFound) return;
    throw new BuildError("not_found", `stat ${resolved}: no such file or directory`);
  }
  withPath("unlinkat", resolved, () => {
    using at = root.openParent(resolved);
    removeTreeAt(at, options.checkAborted);
  });
}
