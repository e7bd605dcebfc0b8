import type { Clock, ErrorReporter } from "@buildkit-ts/async";
import type { FileContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { LayerCodec } from "@buildkit-ts/layers";
import type { Snapshotter } from "@buildkit-ts/snapshots";
import { BlobKeeper } from "./blobs/blob-keeper.ts";
import { LayerBlobs } from "./blobs/layer-blobs.ts";
import { DiskUsageMeter } from "./prune/disk-usage-meter.ts";
import type { CacheRecord } from "./record/cache-record.ts";
import type { RecordRegistry } from "./record/record-registry.ts";
import type { Metadata } from "./refs.ts";
import { LostTrees } from "./trees/lost-trees.ts";
import { SnapshotViews } from "./trees/snapshot-views.ts";
import { StagedTrees } from "./trees/staged-trees.ts";
import { stepName, TreeExtractor } from "./trees/tree-extractor.ts";
import type { TreeServices } from "./trees/tree-services.ts";

/** What {@linkcode CacheCore} is built of. */
export interface CacheCoreParts {
  readonly registry: RecordRegistry;
  readonly snapshotter: Snapshotter;
  readonly content: FileContentStore;
  readonly codec: LayerCodec;
  readonly stagingDirectory: string;
  readonly clock: Clock;
  readonly reporter: ErrorReporter;
}

/** The state that refs and the manager share: holds, removal, and the parts that work on trees. */
export class CacheCore implements AsyncDisposable {
  readonly registry: RecordRegistry;
  readonly snapshotter: Snapshotter;
  readonly views: SnapshotViews;
  readonly losses: LostTrees;
  readonly blobs: BlobKeeper;
  readonly staging: StagedTrees;
  readonly layerBlobs: LayerBlobs;
  readonly extractor: TreeExtractor;
  readonly usage: DiskUsageMeter;
  readonly clock: Clock;

  constructor(parts: CacheCoreParts) {
    this.registry = parts.registry;
    this.snapshotter = parts.snapshotter;
    this.clock = parts.clock;
    this.views = new SnapshotViews(parts.snapshotter);
    this.losses = new LostTrees({ ...parts, remove: async (record) => await this.remove(record) });
    this.blobs = new BlobKeeper(parts);
    this.staging = new StagedTrees(parts.stagingDirectory, parts);
    const services: TreeServices = {
      ...parts,
      staging: this.staging,
      views: this.views,
      losses: this.losses,
      blobs: this.blobs,
    };
    this.layerBlobs = new LayerBlobs(services, async (record, options) => {
      return await this.extractor.extract(record, options);
    });
    this.extractor = new TreeExtractor(services);
    this.usage = new DiskUsageMeter(this);
    parts.snapshotter.onUsageChange((names) => {
      for (const name of names) this.#forgetSize(name);
    });
  }

  #forgetSize(snapshot: string): void {
    const owner = this.registry.find(snapshot.split("-")[0] ?? snapshot);
    for (const record of new Set([owner, ...this.registry.recordsOfSnapshot(snapshot)])) {
      if (record === undefined) continue;
      this.usage.noteChange(record);
      if (record.values.sizeBytes !== undefined) this.registry.update(record, { sizeBytes: undefined });
    }
  }

  /** @throws {BuildError} `not_found` */
  get(id: string): CacheRecord {
    const record = this.registry.find(id);
    if (record === undefined) throw new BuildError("not_found", `Cannot find cache record "${id}": not found`);
    return record;
  }

  hold(record: CacheRecord): void {
    if (record.isGone) throw new BuildError("not_found", `Cannot find cache record "${record.id}": not found`);
    record.holds += 1;
  }

  /** Gives up a hold. With the last one a record becomes cache, or is removed, if it was not to be kept. */
  async release(record: CacheRecord): Promise<void> {
    record.holds -= 1;
    if (record.holds > 0 || record.isGone) return;
    const isUnkept = record.isTransient || (record.values.mutable && !record.values.retain);
    if (isUnkept && record.isUnused) {
      await this.#removeWithLost(record);
      return;
    }
    // A mutable tree has changed since it was measured.
    if (record.values.mutable) this.registry.update(record, { sizeBytes: undefined });
    this.registry.noteUse(record, this.clock.now());
  }

  /** Removes a record, and what is lost below it and was kept by it alone. */
  async #removeWithLost(record: CacheRecord): Promise<void> {
    for (let unused = [record], next = unused.pop(); next !== undefined; next = unused.pop()) {
      const { parents } = next;
      await this.remove(next);
      unused.push(...new Set(parents.filter((parent) => parent.isLost && parent.isUnused && !parent.isGone)));
    }
  }

  /** Removes a record that nobody holds; first its row, so that whatever is interrupted leaves only garbage. */
  async remove(record: CacheRecord): Promise<void> {
    if (!record.isUnused)
      throw new BuildError("failed_precondition", `Cannot remove cache record "${record.id}": it is in use`);
    const { snapshot, blobs } = record.values;
    this.registry.remove(record);
    if (snapshot !== undefined && this.registry.recordsOfSnapshot(snapshot).size === 0)
      await this.snapshotter.remove(snapshot);
    if (record.structure.kind === "merge") await this.#removeSteps(record);
    await this.blobs.unpin(record.id);
    await this.blobs.deleteUnnamed(blobs.map(({ digest }) => digest));
  }

  async #removeSteps(record: CacheRecord): Promise<void> {
    for (let index = record.parents.length; index >= 0; index--) {
      const name = stepName(record.id, index);
      if ((await this.snapshotter.find(name)) !== undefined) await this.snapshotter.remove(name);
    }
  }

  /** Leaves to the next start what could not be removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.staging[Symbol.asyncDispose]();
    await this.blobs[Symbol.asyncDispose]();
  }

  metadata(id: string): Metadata {
    const { table } = this.registry;
    return {
      get: (key) => table.getMetadata(id, key),
      set: (key, value, options) => table.setMetadata(id, key, { value, index: options?.index === true }),
    };
  }
}
