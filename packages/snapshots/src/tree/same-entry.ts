import { closeSync, constants, readSync } from "node:fs";
import { type At, findXattr, listXattrs, openAt, pathOfAt, readlinkAt } from "@buildkit-ts/sys";
import { type Entry, isOverlayXattr } from "./stack-directory.ts";

/** Whether owner, mode and extended attributes are the same. */
export function hasSameAttributes(before: Entry, after: Entry): boolean {
  const [a, b] = [before.stat, after.stat];
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && hasSameXattrs(before, after);
}

/** Whether a file is the same in both trees, links and devices included. Copies keep times to the nanosecond, so content is compared only where those are missing. */
export function isSameFile(before: Entry, after: Entry): boolean {
  const [a, b] = [before.stat, after.stat];
  if (a.inode === b.inode && !b.isDirectory()) return true;
  if (b.isDirectory() || !hasSameAttributes(before, after)) return false;
  if (a.isSymbolicLink()) return String(readlinkAt(before)) === String(readlinkAt(after));
  if (a.specialDevice.major !== b.specialDevice.major || a.specialDevice.minor !== b.specialDevice.minor) return false;
  if (a.sizeBytes !== b.sizeBytes || a.modificationNs !== b.modificationNs) return false;
  return !a.isFile() || a.modificationNs % 1_000_000_000n !== 0n || hasSameContent(before, after);
}

function hasSameXattrs(before: At, after: At): boolean {
  const [a, b] = [pathOfAt(before), pathOfAt(after)];
  const names = listXattrs(a).filter((name) => !isOverlayXattr(name));
  if (names.length !== listXattrs(b).filter((name) => !isOverlayXattr(name)).length) return false;
  return names.every((name) => {
    const value = findXattr(b, name);
    return value !== undefined && findXattr(a, name)?.equals(value) === true;
  });
}

function hasSameContent(before: At, after: At): boolean {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const a = openAt(before, flags);
  const b = openAt(after, flags);
  try {
    const [left, right] = [Buffer.allocUnsafe(1 << 16), Buffer.allocUnsafe(1 << 16)];
    for (;;) {
      const count = readSync(a, left, 0, left.length, null);
      if (count !== readSync(b, right, 0, right.length, null)) return false;
      if (count === 0) return true;
      if (left.compare(right, 0, count, 0, count) !== 0) return false;
    }
  } finally {
    closeSync(a);
    closeSync(b);
  }
}
