export { DirectorySnapshotter, type DirectorySnapshotterOptions } from "./directory-snapshotter.ts";
export { FuseOverlaySnapshotter } from "./fuse-overlay/fuse-overlay-snapshotter.ts";
export { NativeSnapshotter } from "./native/native-snapshotter.ts";
export { OverlaySnapshotter, type OverlaySnapshotterOptions } from "./overlay/overlay-snapshotter.ts";
export { probeSnapshotter } from "./probe-snapshotter.ts";
export type { SnapshotDifference, SnapshotInfo, SnapshotKind, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
