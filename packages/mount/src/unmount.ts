import { setTimeout as sleep } from "node:timers/promises";
import { BuildError } from "@buildkit-ts/errdefs";
import { hasErrno, MNT_DETACH, UMOUNT_NOFOLLOW, umount } from "@buildkit-ts/sys";
import { readMountInfo } from "./mount-info.ts";

// Who has a file open in a mount for a moment (an indexer, a dying process) makes it busy for that long.
const busyAttempts = 60;
const busyDelayMs = 50;

/**
 * Unmounts everything that is mounted at a path, one over the other, and below it. A path with nothing mounted is fine.
 *
 * @throws {BuildError} `failed_precondition` for a mount that stays busy for seconds.
 */
export async function unmountAll(target: string): Promise<void> {
  if (await unmountStack(target)) return;
  // Busy may mean that something is mounted below.
  for (const mountPoint of mountPointsBelow(target)) await unmountUntilGone(mountPoint);
}

/**
 * Unmounts everything below a directory, busy or not: what a killed daemon left behind. A busy mount vanishes from the tree
 * at once and from the kernel with its last user. What is mounted at the directory itself stays: it may be its volume.
 *
 * @returns The mount points that were there.
 */
export async function unmountBelow(directory: string): Promise<string[]> {
  const mountPoints = mountPointsBelow(directory).filter((mountPoint) => mountPoint !== directory);
  for (const mountPoint of mountPoints) {
    try {
      await umount(mountPoint, UMOUNT_NOFOLLOW);
    } catch (error) {
      if (hasErrno(error, "EINVAL", "ENOENT")) continue;
      if (!hasErrno(error, "EBUSY")) throw error;
      await umount(mountPoint, UMOUNT_NOFOLLOW | MNT_DETACH);
    }
  }
  return mountPoints;
}

// With those at the directory itself. Last mounted first: a mount point that still carries another mount is busy.
function mountPointsBelow(directory: string): string[] {
  const prefix = directory.endsWith("/") ? directory : `${directory}/`;
  return readMountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint === directory || mountPoint.startsWith(prefix))
    .toReversed();
}

/** @returns False if something is busy. */
async function unmountStack(target: string): Promise<boolean> {
  for (;;) {
    try {
      await umount(target, UMOUNT_NOFOLLOW);
    } catch (error) {
      if (hasErrno(error, "EBUSY")) return false;
      // Not a mount point (any more).
      if (hasErrno(error, "EINVAL", "ENOENT")) return true;
      throw unmountError(target, error);
    }
  }
}

async function unmountUntilGone(mountPoint: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await umount(mountPoint, UMOUNT_NOFOLLOW);
      return;
    } catch (error) {
      if (hasErrno(error, "EINVAL", "ENOENT")) return;
      // A lazy unmount would only hide who still uses it until the snapshot is removed beneath them.
      if (!hasErrno(error, "EBUSY") || attempt === busyAttempts) throw unmountError(mountPoint, error);
      await sleep(busyDelayMs);
    }
  }
}

function unmountError(target: string, cause: unknown): BuildError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new BuildError("failed_precondition", `Cannot unmount "${target}": ${text}`, { cause });
}
