import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno, RootedDirectory } from "@buildkit-ts/sys";
import type { Owner } from "../file-actions.ts";

/** Who owns what an action makes, as ids or as names to be looked up in a tree. */
export interface OwnerRequest {
  readonly user?: string | number;
  readonly group?: string | number;
}

const maxBytes = 10 << 20;

/**
 * Looks names up in `/etc/passwd` and `/etc/group` of a tree. As in BuildKit a name that is not there is root's, and a user's
 * group is the primary one, or for a number the same number.
 */
export function lookUpOwner(owner: OwnerRequest, root: string | undefined): Owner {
  let uid = 0;
  let gid = 0;
  if (typeof owner.user === "number") uid = gid = owner.user;
  else if (owner.user !== undefined) {
    const [, , userId, groupId] = findRow(owner.user, root, "/etc/passwd") ?? [];
    uid = parseId(userId);
    gid = parseId(groupId);
  }
  if (typeof owner.group === "number") gid = owner.group;
  else if (owner.group !== undefined) {
    const row = findRow(owner.group, root, "/etc/group");
    if (row !== undefined) gid = parseId(row[2]);
  }
  return { uid, gid };
}

function findRow(name: string, root: string | undefined, path: string): string[] | undefined {
  if (root === undefined) {
    const kind = path === "/etc/group" ? "group" : "user";
    throw new BuildError("invalid_argument", `invalid missing ${kind} mount`);
  }
  const text = readTable(root, path);
  for (const line of text.split("\n")) {
    const row = line.trim().split(":");
    if (row[0] === name && !line.trim().startsWith("#")) return row;
  }
  return undefined;
}

function readTable(root: string, path: string): string {
  using directory = RootedDirectory.open(root);
  try {
    return directory.readFile(path, { maxBytes }).toString("utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return "";
    if (hasErrno(error, "EINVAL")) {
      throw new BuildError("invalid_argument", `${path} is not a regular file`, { cause: error });
    }
    if (!hasErrno(error, "EFBIG")) throw error;
    throw new BuildError("resource_exhausted", `Cannot read "${path}": it exceeds ${maxBytes} bytes`, { cause: error });
  }
}

function parseId(text: string | undefined): number {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : 0;
}
