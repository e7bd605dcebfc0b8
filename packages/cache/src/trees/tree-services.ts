import type { LayerCodec } from "@buildkit-ts/layers";
import type { Snapshotter } from "@buildkit-ts/snapshots";
import type { BlobKeeper } from "../blobs/blob-keeper.ts";
import type { RecordRegistry } from "../record/record-registry.ts";
import type { LostTrees } from "./lost-trees.ts";
import type { SnapshotViews } from "./snapshot-views.ts";
import type { StagedTrees } from "./staged-trees.ts";

/** What the parts of the cache that work on trees have in common. */
export interface TreeServices {
  readonly registry: RecordRegistry;
  readonly snapshotter: Snapshotter;
  readonly views: SnapshotViews;
  readonly losses: LostTrees;
  readonly blobs: BlobKeeper;
  readonly codec: LayerCodec;
  readonly staging: StagedTrees;
}
