import { closeSync } from "node:fs";
import {
  type AbortCheck,
  AT_FDCWD,
  type FilePath,
  type FileStat,
  hasErrno,
  lstatAt,
  openDirectoryAt,
  readNames,
  statOf,
} from "@buildkit-ts/sys";

/** A directory on the way down, of which some names are still to come. */
interface Level {
  readonly inode: bigint;
  readonly names: readonly FilePath[];
  next: number;
}

/**
 * Allocated bytes and inodes of a directory with all below it. A file with several names counts once; of one that has names
 * elsewhere too, the part that its names here are of all its names. A directory that
 * somebody has deleted has nothing; what is deleted meanwhile is counted as far as it was seen.
 */
export function measureTree(path: string, checkAborted: AbortCheck): { sizeBytes: number; inodes: number } {
  const seen = new Set<bigint>();
  let sizeBytes = 0;
  let inodes = 0;
  const count = (stat: FileStat): void => {
    const isDirectory = stat.isDirectory();
    sizeBytes += isDirectory ? stat.allocatedBytes : stat.allocatedBytes / Math.max(1, stat.linkCount);
    if (stat.linkCount > 1 && !isDirectory) {
      if (seen.has(stat.inode)) return;
      seen.add(stat.inode);
    }
    inodes += 1;
  };
  try {
    walk(path, (stat) => {
      checkAborted();
      count(stat);
    });
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
  return { sizeBytes, inodes };
}

/** Visits a directory and all below it, with one open descriptor and no recursion: steps make trees of any depth. */
function walk(path: string, visit: (stat: FileStat) => void): void {
  let fd = openDirectoryAt({ fd: AT_FDCWD, path });
  const move = (name: FilePath): FileStat => {
    const next = openDirectoryAt({ fd, path: name });
    closeSync(fd);
    fd = next;
    return statOf(fd);
  };
  try {
    const top = statOf(fd);
    visit(top);
    const levels: Level[] = [{ inode: top.inode, names: readNames(fd), next: 0 }];
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const name = level.names[level.next];
      level.next += 1;
      if (name !== undefined) {
        const stat = lstatAt({ fd, path: name });
        visit(stat);
        if (stat.isDirectory()) levels.push({ inode: move(name).inode, names: readNames(fd), next: 0 });
        continue;
      }
      levels.pop();
      const above = levels.at(-1);
      // Moved meanwhile by a step that still runs: what is counted is as true as anything.
      if (above !== undefined && move("..").inode !== above.inode) return;
    }
  } finally {
    closeSync(fd);
  }
}
