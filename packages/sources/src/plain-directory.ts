import type { HeldMounts } from "@buildkit-ts/cache";
import { BuildError } from "@buildkit-ts/errdefs";

/**
 * The directory behind mounts, without mounting it; undefined where there is more to them than one directory.
 *
 * Hard links cannot cross mount points, not even those of one file system, so trees that shall share files are reached
 * through the mount that holds all snapshots.
 */
export function findPlainDirectory(held: HeldMounts): string | undefined {
  const [mount, ...more] = held.mounts;
  const isPlain = mount !== undefined && more.length === 0 && mount.target === undefined;
  return isPlain && (mount.type === "bind" || mount.type === "rbind") ? mount.source : undefined;
}

/** As {@linkcode findPlainDirectory}, for new trees without a parent, which are always plain. */
export function getPlainDirectory(held: HeldMounts): string {
  const directory = findPlainDirectory(held);
  if (directory === undefined)
    throw new BuildError("internal", "Cannot write files: the snapshotter gave no plain directory for a new tree");
  return directory;
}
