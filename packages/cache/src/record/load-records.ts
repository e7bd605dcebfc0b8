import type { FileContentStore } from "@buildkit-ts/content";
import type { Digest } from "@buildkit-ts/oci";
import type { SnapshotInfo, Snapshotter } from "@buildkit-ts/snapshots";
import type { RecordRegistry } from "./record-registry.ts";
import type { StoredRecord } from "./record-table.ts";

/**
 * Brings records back at the start and makes them, the snapshots and the blobs agree again, whatever the last daemon was
 * doing when it ended: records that miss something go, then all that no record names.
 */
export async function loadRecords(
  registry: RecordRegistry,
  stores: { readonly snapshotter: Snapshotter; readonly content: FileContentStore },
): Promise<void> {
  const { snapshotter, content } = stores;
  const snapshots = new Map<string, SnapshotInfo>();
  for await (const info of snapshotter.walk()) snapshots.set(info.name, info);
  const blobs = new Set<Digest>();
  for await (const { digest } of content.walk()) blobs.add(digest);
  registry.table.unpinLeases();
  for (const { id } of registry.load((stored) => isWhole(stored, { snapshots, blobs }))) registry.table.unpin(id);
  forgetLostBlobs(registry, blobs);
  await removeUnnamedSnapshots(registry, snapshotter, snapshots);
  for (const digest of blobs)
    if (registry.recordsOfBlob(digest).size === 0 && !registry.table.isPinned(digest)) await content.delete(digest);
}

function isWhole(
  stored: StoredRecord,
  present: { readonly snapshots: ReadonlyMap<string, SnapshotInfo>; readonly blobs: ReadonlySet<Digest> },
): boolean {
  const { values } = stored;
  if (values.snapshot !== undefined) {
    const kind = present.snapshots.get(values.snapshot)?.kind;
    // The snapshotter has forgotten what a power failure may have damaged.
    if (kind !== (values.mutable ? "active" : "committed")) return false;
    // Nobody can get a mutable record back that was not meant to be kept.
    return !values.mutable || values.retain;
  }
  // A layer that was never fetched cannot be: whoever could provide it was a client of the last daemon. What is composed
  // of other records can be composed again.
  return stored.kind !== "layer" || values.blobs.some(({ digest }) => present.blobs.has(digest));
}

function forgetLostBlobs(registry: RecordRegistry, present: ReadonlySet<Digest>): void {
  for (const record of registry.all()) {
    const blobs = record.values.blobs.filter(({ digest }) => present.has(digest));
    if (blobs.length === record.values.blobs.length) continue;
    // A blob that is made anew may be another one than the lost one, so its DiffID must be free to differ as well.
    registry.update(record, { blobs, sizeBytes: undefined, ...(blobs.length === 0 && { diffId: undefined }) });
  }
}

async function removeUnnamedSnapshots(
  registry: RecordRegistry,
  snapshotter: Snapshotter,
  snapshots: ReadonlyMap<string, SnapshotInfo>,
): Promise<void> {
  const named = new Set<string>();
  for (const { values } of registry.all()) {
    let name = values.snapshot;
    while (name !== undefined && !named.has(name)) {
      named.add(name);
      name = snapshots.get(name)?.parent;
    }
  }
  const depths = new Map<string, number>();
  const depthOf = (name: string): number => {
    let depth = 0;
    for (let parent = snapshots.get(name)?.parent; parent !== undefined; parent = snapshots.get(parent)?.parent)
      depth += 1;
    return depth;
  };
  const unnamed = [...snapshots.keys()].filter((name) => !named.has(name));
  for (const name of unnamed) depths.set(name, depthOf(name));
  // Children first: a snapshot with children cannot be removed.
  for (const name of unnamed.toSorted((a, b) => (depths.get(b) ?? 0) - (depths.get(a) ?? 0)))
    await snapshotter.remove(name);
}
