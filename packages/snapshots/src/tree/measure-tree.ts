import { closeSync } from "node:fs";
import { type AbortCheck, AT_FDCWD, lstatAt, openDirectoryAt, readNames } from "@buildkit-ts/sys";

/**
 * Allocated bytes and inodes of a directory with all below it. A file with several names counts once; of one that has names
 * elsewhere too, the part that its names here are of all its names.
 */
export function measureTree(path: string, checkAborted: AbortCheck): { sizeBytes: number; inodes: number } {
  const seen = new Set<bigint>();
  let sizeBytes = lstatAt({ fd: AT_FDCWD, path }).allocatedBytes;
  let inodes = 1;
  const walk = (fd: number): void => {
    for (const name of readNames(fd)) {
      checkAborted();
      const stat = lstatAt({ fd, path: name });
      const isDirectory = stat.isDirectory();
      sizeBytes += isDirectory ? stat.allocatedBytes : stat.allocatedBytes / Math.max(1, stat.linkCount);
      if (stat.linkCount > 1 && !isDirectory) {
        if (seen.has(stat.inode)) continue;
        seen.add(stat.inode);
      }
      inodes += 1;
      if (isDirectory) withDirectory({ fd, path: name }, walk);
    }
  };
  withDirectory({ fd: AT_FDCWD, path }, walk);
  return { sizeBytes, inodes };
}

function withDirectory(at: Parameters<typeof openDirectoryAt>[0], use: (fd: number) => void): void {
  const fd = openDirectoryAt(at);
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}
