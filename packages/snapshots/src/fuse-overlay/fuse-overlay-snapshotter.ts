import type { DirectorySnapshotterOptions } from "../directory-snapshotter.ts";
import { OverlaySnapshotter } from "../overlay/overlay-snapshotter.ts";

/**
 * Snapshots as layers of fuse-overlayfs: as {@linkcode OverlaySnapshotter} keeps them, but shown by a process instead of the
 * kernel, where that cannot.
 */
export class FuseOverlaySnapshotter extends OverlaySnapshotter {
  constructor(options: DirectorySnapshotterOptions) {
    super(options, { name: "fuse-overlayfs", mountType: "fuse-overlayfs", mountOptions: [] });
  }
}
