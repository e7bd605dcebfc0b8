import { closeSync } from "node:fs";
import { type AbortCheck, AT_FDCWD, lstatAt, openDirectoryAt, readNames } from "@buildkit-ts/sys";

/** Allocated bytes and inodes of a directory with all below it; a file with several names counts once. */
export function measureTree(path: string, checkAborted: AbortCheck): { sizeBytes: number; inodes: number } {
  const seen = new Set<bigint>();
  let sizeBytes = lstatAt({ fd: AT_FDCWD, path }).allocatedBytes;
  let inodes = 1;
  const walk = (fd: number): void => {
    for (const name of readNames(fd)) {
      checkAborted();
      const stat = lstatAt({ fd, path: name });
      if (stat.linkCount > 1 && !stat.isDirectory()) {
        if (seen.has(stat.inode)) continue;
        seen.add(stat.inode);
      }
      sizeBytes += stat.allocatedBytes;
      inodes += 1;
      if (stat.isDirectory()) withDirectory({ fd, path: name }, walk);
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
