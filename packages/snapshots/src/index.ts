export type { SnapshotInfo, SnapshotKind, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
