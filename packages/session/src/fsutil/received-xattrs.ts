import {
  type FilePath,
  findXattr,
  hasErrno,
  listXattrs,
  removeXattr,
  setXattr,
  type XattrTarget,
} from "@buildkit-ts/sys";
import type { FileStat } from "./file-stat.ts";

/** The tree becomes a layer, of which these would tell overlayfs things that only we may tell it. */
const ours = /^(trusted|user)\.overlay\./;
/** Security modules give every file such labels, whoever sent it. */
const systemOwn = /^security\./;

/** Gives a file or directory the attributes that were sent with it, besides those that it has. */
export function setXattrs(target: XattrTarget, { xattrs }: FileStat): void {
  for (const [name, value] of xattrs ?? []) {
    if (!ours.test(name)) attempt(() => setXattr(target, name, value));
  }
}

/**
 * Gives a directory that was there before the attributes that were sent with it, and no others.
 *
 * @returns whether it had others.
 */
export function updateXattrs(path: FilePath, { xattrs }: FileStat): boolean {
  let isChanged = false;
  for (const name of listXattrs(path)) {
    if (ours.test(name) || systemOwn.test(name) || xattrs?.has(name) === true) continue;
    if (attempt(() => removeXattr(path, name))) isChanged = true;
  }
  for (const [name, value] of xattrs ?? []) {
    if (ours.test(name) || findXattr(path, name)?.equals(value) === true) continue;
    if (attempt(() => setXattr(path, name, value))) isChanged = true;
  }
  return isChanged;
}

/** Whether a directory has the attributes that were sent with it, and no others. */
export function hasXattrs(path: FilePath, { xattrs }: FileStat): boolean {
  const isOther = (name: string): boolean => !ours.test(name) && !systemOwn.test(name) && xattrs?.has(name) !== true;
  if (listXattrs(path).some(isOther)) return false;
  return [...(xattrs ?? [])].every(([name, value]) => ours.test(name) || findXattr(path, name)?.equals(value) === true);
}

/** Attributes are best effort, as in BuildKit: a namespace that needs privileges must not fail a context. */
function attempt(change: () => void): boolean {
  try {
    change();
    return true;
  } catch (error) {
    if (hasErrno(error, "EPERM", "ENOTSUP", "EOPNOTSUPP", "EACCES", "EINVAL", "E2BIG", "ERANGE", "ENOSPC"))
      return false;
    throw error;
  }
}
