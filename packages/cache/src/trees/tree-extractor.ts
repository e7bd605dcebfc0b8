import { mkdir } from "node:fs/promises";
import { Semaphore, SingleFlight, TaskGroup } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { AppliedLayer } from "@buildkit-ts/layers";
import { mountTemporarily } from "@buildkit-ts/mount";
import { withStatus } from "@buildkit-ts/progress";
import type { SnapshotDifference } from "@buildkit-ts/snapshots";
import { diffIdOf } from "../blobs/layer-media-type.ts";
import { CacheRecord } from "../record/cache-record.ts";
import { newId } from "../record/record-registry.ts";
import type { RefOptions } from "../refs.ts";
import { moveTreeInto } from "./move-tree-into.ts";
import type { TreeServices } from "./tree-services.ts";

const parallelUnpacks = 4;

/** Makes snapshots of records that have none: unpacks blobs, merges, applies differences. Once per record at a time. */
export class TreeExtractor {
  readonly #services: TreeServices;
  readonly #flights = new SingleFlight<CacheRecord, void>();
  readonly #unpacks = new Semaphore(parallelUnpacks);
  #stages: Promise<boolean> | undefined;

  constructor(services: TreeServices) {
    this.#services = services;
  }

  /** @returns The record's committed snapshot. */
  async extract(record: CacheRecord, options: RefOptions): Promise<string> {
    if (record.values.mutable)
      throw new BuildError("failed_precondition", `Cannot extract cache record "${record.id}": it is mutable`);
    if (record.values.snapshot === undefined) {
      let started = false;
      const work = async (signal: AbortSignal): Promise<void> => {
        started = true;
        await this.#make(record, { ...options, signal });
      };
      try {
        await this.#flights.run(record, work, options);
      } catch (error) {
        // It failed with the session of another build; ours may be able to do it.
        if (started || options.signal.aborted) throw error;
        await this.#flights.run(record, work, options);
      }
    }
    const { snapshot } = record.values;
    if (snapshot === undefined) throw new BuildError("internal", `Cannot extract cache record "${record.id}"`);
    // As a lost blob it is something to build again, not to fail with.
    await this.#services.losses.checkPresent(record);
    return snapshot;
  }

  async #make(record: CacheRecord, options: RefOptions): Promise<void> {
    if (record.values.snapshot !== undefined) return;
    const { snapshotter, registry } = this.#services;
    // What an attempt left behind that failed after it had committed.
    if ((await snapshotter.find(record.id)) !== undefined) await snapshotter.remove(record.id);
    const { structure, chainId } = record;
    const known = structure.kind === "layer" && chainId !== undefined ? registry.findTree(chainId) : undefined;
    if (known !== undefined) {
      registry.update(record, { snapshot: known, sizeBytes: undefined });
      return;
    }
    switch (structure.kind) {
      case "layer":
        await this.#unpackLayer(record, structure.parent, options);
        break;
      case "merge":
        await this.#mergeParents(record, structure.parents, options);
        break;
      case "diff":
        await this.#makeDifference(record, options);
        break;
      default:
        structure satisfies never;
    }
    registry.update(record, { snapshot: record.id, sizeBytes: undefined });
  }

  /** Fetches and unpacks the layer beside its parents: only committing waits for them. */
  async #unpackLayer(record: CacheRecord, parent: CacheRecord | undefined, options: RefOptions): Promise<void> {
    const staging = this.#services.staging.newPath();
    const isStaged = await this.#hasUpperDirectories();
    try {
      await using group = new TaskGroup({ signal: options.signal });
      let parentSnapshot: string | undefined;
      let implied: readonly string[] = [];
      group.run(async (signal) => {
        if (parent !== undefined) parentSnapshot = await this.extract(parent, { ...options, signal });
      });
      group.run(async (signal) => {
        await this.#services.blobs.ensureLocal(record, { ...options, signal });
        if (!isStaged) return;
        await mkdir(staging, { mode: 0o755 });
        // With nothing below it a snapshot is shown as it is, and a whiteout would be a file.
        const target = { directory: staging, form: parent === undefined ? "merged" : "overlay-upper" } as const;
        implied = (await this.#apply(record, target, { ...options, signal })).impliedDirectories;
      });
      await group.join();
      await this.#commit(record.id, parentSnapshot, async (key) => {
        if (isStaged) await this.#moveStaged(staging, { key, implied, parent: parentSnapshot }, options);
        else await this.#applyMounted(record, key, options);
      });
    } finally {
      await this.#services.staging.remove(staging);
    }
  }

  async #moveStaged(
    staging: string,
    target: { readonly key: string; readonly implied: readonly string[]; readonly parent: string | undefined },
    options: RefOptions,
  ): Promise<void> {
    const { snapshotter, codec } = this.#services;
    const { key, implied, parent } = target;
    if (implied.length > 0 && parent !== undefined) {
      // They exist in lower layers with an owner and a mode that the layer did not mean to change.
      const parents = await this.#upperDirectories(parent);
      await codec.inheritAttributes({ directory: staging, paths: implied, parents }, options);
    }
    const upper = await snapshotter.upperDir(key);
    if (upper === undefined) throw new BuildError("internal", `Cannot find upper directory of snapshot "${key}"`);
    moveTreeInto(staging, upper);
  }

  /** Of a committed snapshot and of those below it, highest first. */
  async #upperDirectories(snapshot: string): Promise<string[]> {
    const { snapshotter } = this.#services;
    const directories: string[] = [];
    for (let name: string | undefined = snapshot; name !== undefined; name = (await snapshotter.find(name))?.parent) {
      const directory = await snapshotter.upperDir(name);
      if (directory !== undefined) directories.push(directory);
    }
    return directories;
  }

  /** Whether layers can be unpacked apart from their parents; shows only at a snapshot, and one without parents costs little. */
  async #hasUpperDirectories(): Promise<boolean> {
    this.#stages ??= (async () => {
      const key = `probe-${newId()}`;
      const { snapshotter } = this.#services;
      await snapshotter.prepare(key, undefined);
      try {
        return (await snapshotter.upperDir(key)) !== undefined;
      } finally {
        await snapshotter.remove(key);
      }
    })();
    return await this.#stages;
  }

  async #applyMounted(record: CacheRecord, key: string, options: RefOptions): Promise<void> {
    const { signal } = options;
    await using mounted = await mountTemporarily(await this.#services.snapshotter.mounts(key), { signal });
    await this.#apply(record, { directory: mounted.path, form: "merged" }, options);
  }

  async #apply(
    record: CacheRecord,
    target: { readonly directory: string; readonly form: "overlay-upper" | "merged" },
    options: RefOptions,
  ): Promise<AppliedLayer> {
    const { signal, progress } = options;
    const { blobs, codec } = this.#services;
    const descriptor = await blobs.ensureLocal(record, options);
    using _permit = await this.#unpacks.acquire({ signal });
    const diffId = diffIdOf(descriptor, record.values.diffId);
    return await withStatus(progress, `extracting ${descriptor.digest}`, async () => {
      const blob = { path: blobs.content.pathOf(descriptor.digest), mediaType: descriptor.mediaType };
      return await codec.apply(blob, target, { signal, ...(diffId !== undefined && { expected: diffId }) });
    });
  }

  /** Prepares a snapshot, lets `fill` write to it, and commits it under `name`; or leaves nothing. */
  async #commit(name: string, parent: string | undefined, fill: (key: string) => Promise<void>): Promise<void> {
    const { snapshotter } = this.#services;
    const key = `${name}-new-${newId()}`;
    await snapshotter.prepare(key, parent);
    try {
      await fill(key);
      await snapshotter.commit(name, key);
    } catch (error) {
      await snapshotter.remove(key);
      throw error;
    }
  }

  async #mergeParents(record: CacheRecord, parents: readonly CacheRecord[], options: RefOptions): Promise<void> {
    const { snapshotter } = this.#services;
    const { signal } = options;
    const steps = groupSteps(parents);
    let base: string | undefined;
    for (const [index, step] of steps.entries()) {
      const name = index === steps.length - 1 ? record.id : stepName(record.id, index);
      // Steps of a failed attempt.
      if ((await snapshotter.find(name)) !== undefined) await snapshotter.remove(name);
      if (step.kind === "trees") {
        const [first, ...others] = step.records;
        // What lies lowest has nothing below it to delete from.
        const lowest = base === undefined && first !== undefined && first.structure.kind !== "diff" ? [first] : [];
        const rest = lowest.length > 0 ? others : step.records;
        const inputs = await this.#mergeInputs([...lowest, ...rest.flatMap(mergeParts)], options);
        await snapshotter.merge(name, base === undefined ? inputs : [base, ...inputs], { signal });
      } else await this.#applyBlob(step.record, { name, base, options });
      base = name;
    }
  }

  /** Unpacks what is to be merged, all at the same time. */
  async #mergeInputs(parts: readonly MergePart[], options: RefOptions): Promise<(string | SnapshotDifference)[]> {
    const inputs: (string | SnapshotDifference)[] = [];
    await using group = new TaskGroup({ signal: options.signal });
    for (const [index, part] of parts.entries())
      group.run(async (signal) => {
        inputs[index] = await this.#mergeInput(part, { ...options, signal });
      });
    await group.join();
    return inputs;
  }

  async #mergeInput(part: MergePart, options: RefOptions): Promise<string | SnapshotDifference> {
    if (part instanceof CacheRecord) return await this.extract(part, options);
    const [lower, upper] = await Promise.all(
      [part.lower, part.upper].map(async (side) =>
        side === undefined ? undefined : await this.extract(side, options),
      ),
    );
    return { lower, upper };
  }

  async #makeDifference(record: CacheRecord, options: RefOptions): Promise<void> {
    const name = record.id;
    if (isBlobOnly(record)) await this.#applyBlob(record, { name, base: undefined, options });
    else await this.#services.snapshotter.merge(name, await this.#mergeInputs(mergeParts(record), options), options);
  }

  /** A snapshot of `base` with the changes that a layer's blob describes. */
  async #applyBlob(
    record: CacheRecord,
    target: { readonly name: string; readonly base: string | undefined; readonly options: RefOptions },
  ): Promise<void> {
    const { name, base, options } = target;
    const { signal } = options;
    const { codec, snapshotter, blobs } = this.#services;
    const [layer = record] = record.layers();
    const { digest, mediaType } = await blobs.ensureLocal(layer, options);
    await this.#commit(name, base, async (key) => {
      await using mounted = await mountTemporarily(await snapshotter.mounts(key), { signal });
      await codec.apply(
        { path: blobs.content.pathOf(digest), mediaType },
        { directory: mounted.path, form: "merged" },
        { signal },
      );
    });
  }
}

/** A whole tree, or what leads from one to another. */
type MergePart = CacheRecord | { readonly lower: CacheRecord | undefined; readonly upper: CacheRecord | undefined };

/**
 * What a record puts over others. A tree with a merge below it is taken apart: what a part of that merge deletes is deleted
 * here too, though the merged tree shows nothing of it.
 */
function mergeParts(record: CacheRecord): MergePart[] {
  const { structure } = record;
  if (structure.kind === "diff") return [structure];
  const layers = record.layers();
  const isPlain = layers.every(({ structure: own }, index) => own.kind === "layer" && own.parent === layers[index - 1]);
  if (isPlain) return [record];
  return layers.map((layer) => {
    const { structure: own } = layer;
    if (own.kind === "diff") return own;
    return { lower: own.kind === "layer" ? own.parent : undefined, upper: layer };
  });
}

/** Whether a difference is one layer that was never unpacked: its blob says all, and what is below it needs not be fetched. */
function isBlobOnly(record: CacheRecord): boolean {
  const [layer] = record.layers();
  return (
    layer !== undefined && layer !== record && layer.values.snapshot === undefined && layer.values.blobs.length > 0
  );
}

type MergeStep =
  | { readonly kind: "trees"; readonly records: readonly CacheRecord[] }
  | { readonly kind: "blob"; readonly record: CacheRecord };

/** What follows one another is merged in one go, except what is unpacked from a blob. */
function groupSteps(parents: readonly CacheRecord[]): MergeStep[] {
  const steps: MergeStep[] = [];
  let trees: CacheRecord[] = [];
  for (const record of parents) {
    if (record.structure.kind !== "diff" || !isBlobOnly(record)) {
      if (trees.length === 0) steps.push({ kind: "trees", records: trees });
      trees.push(record);
    } else {
      steps.push({ kind: "blob", record });
      trees = [];
    }
  }
  return steps;
}

/** The snapshot of a merge's step; it goes with the record's own. */
export function stepName(id: string, index: number): string {
  return `${id}-step-${index}`;
}
