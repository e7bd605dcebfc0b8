import { posix } from "node:path";
import { chmodAt, chownAt, mkdirAt, SystemError, utimesAt } from "@buildkit-ts/sys";
import type { Owner } from "../file-actions.ts";
import { withPath } from "./path-error.ts";
import type { TreeRoot } from "./tree-root.ts";

/** What directories get that an action has to make. */
export interface NewDirectory {
  readonly mode: number;
  readonly owner: Owner | undefined;
  readonly timestampNs: bigint | undefined;
}

const ENOTDIR = 20;

/**
 * Makes a directory and the parents it lacks.
 *
 * @param path A resolved one.
 * @returns Those that were made, highest first.
 */
export function makeDirectories(root: TreeRoot, path: string, attributes: NewDirectory): string[] {
  const missing: string[] = [];
  for (let at = path; ; at = posix.dirname(at)) {
    const stat = root.findLstat(at);
    if (stat !== undefined) {
      if (stat.isDirectory()) break;
      return withPath("mkdir", at, () => {
        throw new SystemError(ENOTDIR, "mkdir", at);
      });
    }
    missing.push(at);
  }
  missing.reverse();
  for (const made of missing) withPath("mkdir", made, () => makeDirectory(root, made, attributes));
  return missing;
}

/** Makes one directory in one that is there. */
export function makeDirectory(root: TreeRoot, path: string, attributes: NewDirectory): void {
  using at = root.openParent(path);
  mkdirAt(at, attributes.mode & 0o777);
  // Whatever the umask is.
  chmodAt(at, attributes.mode & 0o777);
  if (attributes.owner !== undefined) chownAt(at, attributes.owner.uid, attributes.owner.gid);
  setTimestamp(root, path, attributes.timestampNs);
}

/** Sets both times of a path, if there is a time to set. Never follows a symbolic link. */
export function setTimestamp(root: TreeRoot, path: string, timestampNs: bigint | undefined): void {
  if (timestampNs === undefined) return;
  using at = root.openParent(path);
  utimesAt(at, { accessNs: timestampNs, modificationNs: timestampNs });
}
