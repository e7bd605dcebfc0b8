import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { type Clock, type ErrorReporter, systemClock, WorkerCalls } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import type { Mount } from "@buildkit-ts/mount";
import { AT_FDCWD, removeTreeAt } from "@buildkit-ts/sys";
import { addInodes, readInodes } from "./inode-list.ts";
import { RemovedDirectories } from "./removed-directories.ts";
import { mergeStepsOf, type SnapshotMergeStep } from "./snapshot-merge-steps.ts";
import { SnapshotSync } from "./snapshot-sync.ts";
import { type SnapshotRow, SnapshotTable, unfinishedPrefix } from "./snapshot-table.ts";
import type { SnapshotDifference, SnapshotInfo, SnapshotLinks, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
import { TreeMeter } from "./tree/tree-meter.ts";
import type { MergeRequest, TreeRequest, TreeResult } from "./tree/tree-request.ts";

/** What a snapshotter that keeps directories needs. */
export interface DirectorySnapshotterOptions {
  /** Snapshots are kept in `<root>/snapshots/<id>/`. */
  readonly root: string;
  readonly database: MetadataDatabase;
  /** Is told what fails in the background: removing leftovers, syncing. */
  readonly reporter: ErrorReporter;
  /** How long after a commit the disk is synced, for all commits until then; 5 s unless given. */
  readonly syncDelayMs?: number;
  /** Decides when removals that failed are tried again. */
  readonly clock?: Clock;
}

const defaultSyncDelayMs = 5000;
// Removing and measuring go on when the caller has lost interest: half-removed directories help nobody.
const never = new AbortController().signal;

/**
 * Snapshots as directories named by rows of a table. The table is the truth: a directory without a row is garbage and is
 * removed at the start, a row without its directory, or of an earlier boot and never synced, is forgotten.
 */
export abstract class DirectorySnapshotter implements Snapshotter, AsyncDisposable {
  abstract readonly name: string;
  protected readonly table: SnapshotTable;
  readonly #root: string;
  readonly #reporter: ErrorReporter;
  readonly #sync: SnapshotSync;
  readonly #removed: RemovedDirectories;
  readonly #trees: WorkerCalls<TreeRequest, TreeResult>;
  readonly #meter: TreeMeter;
  /** Names of those that are being measured, but those that have changed since. */
  readonly #measuring = new Set<string>();
  /** Active snapshots that were committed before, and those that had files of them then, which may be replaced now. */
  readonly #reopened = new Map<string, readonly string[]>();
  readonly #usageListeners = new Set<(names: readonly string[]) => void>();
  #unfinished = 0;

  constructor(driver: string, options: DirectorySnapshotterOptions) {
    this.#root = join(options.root, "snapshots");
    this.#reporter = options.reporter;
    this.#trees = new WorkerCalls(new URL("./tree/tree.worker.ts", import.meta.url).href, { maxThreads: 2 });
    this.#meter = new TreeMeter(this.#trees);
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    this.table = new SnapshotTable(options.database, { driver, boot });
    const { reporter, clock = systemClock, syncDelayMs: delayMs = defaultSyncDelayMs } = options;
    this.#sync = new SnapshotSync(this.table, { directory: this.#root, reporter, delayMs });
    this.#removed = new RemovedDirectories(this.#trees, { meter: this.#meter, reporter, clock });
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    this.#removeLeftovers();
  }

  async prepare(key: string, parent: string | undefined): Promise<Mount[]> {
    const id = this.table.insert(key, {
      kind: "active",
      parent,
      makeDirectory: (made) => this.makeDirectory(made, parent),
    });
    try {
      await this.fill(id, parent, { signal: never });
    } catch (error) {
      await this.remove(key);
      throw error;
    }
    return this.mountsOf(this.table.get(key));
  }

  /** An empty directory for a snapshot; a transaction that is tried again on a full disk comes here twice. */
  protected makeFresh(id: number): void {
    const path = this.directoryOf(id);
    removeTreeAt({ fd: AT_FDCWD, path });
    mkdirSync(path, { mode: 0o700 });
  }

  async view(key: string, parent: string | undefined): Promise<Mount[]> {
    if (parent !== undefined) this.table.insertView(key, parent);
    else this.table.insert(key, { kind: "view", parent, makeDirectory: (id) => this.makeDirectory(id, undefined) });
    return this.mountsOf(this.table.get(key));
  }

  async mounts(key: string): Promise<Mount[]> {
    const row = this.table.get(key);
    if (row.kind === "active") this.table.markWritable(row.id);
    return this.mountsOf(row);
  }

  async commit(name: string, key: string): Promise<void> {
    this.table.commit(name, key);
    this.#forgetUsage(this.#reopened.get(key) ?? []);
    this.#reopened.delete(key);
    this.#sync.schedule();
  }

  async reopen(key: string, name: string): Promise<void> {
    // After a power failure the machine may come up with an earlier state of the database, in which the snapshot is committed
    // and durable. Its files may be others by then: it must not find them.
    const before = this.directoryOf(this.table.get(name).id);
    let place = before;
    const moveTo = (path: string): void => {
      renameSync(place, path);
      place = path;
    };
    let linked: readonly string[];
    try {
      linked = this.table.reopen(key, name, (id) => moveTo(this.directoryOf(id)));
    } catch (error) {
      if (place !== before) moveTo(before);
      throw error;
    }
    this.#reopened.set(key, linked);
    this.#tellUsageChange([name, ...linked]);
  }

  async remove(key: string): Promise<void> {
    const { row, changed: linked } = this.table.remove(key);
    const changed = [...linked, ...(this.#reopened.get(key) ?? [])];
    this.#reopened.delete(key);
    if (hasDirectory(row)) await this.#removed.remove(this.directoryOf(row.id), row.usage?.sizeBytes);
    // Once more: what was measured before the files were gone has counted them as shared.
    this.#forgetUsage(changed);
  }

  async leftoverBytes(options: { readonly signal: AbortSignal }): Promise<number> {
    return await this.#removed.measure(options);
  }

  #forgetUsage(names: readonly string[]): void {
    this.table.forgetUsage(names);
    this.#tellUsageChange(names);
  }

  onUsageChange(listener: (names: readonly string[]) => void): void {
    this.#usageListeners.add(listener);
  }

  #tellUsageChange(names: readonly string[]): void {
    for (const name of names) this.#measuring.delete(name);
    if (names.length > 0) for (const listener of this.#usageListeners) listener(names);
  }

  async noteLinks(key: string, { sources, inodes }: SnapshotLinks): Promise<void> {
    const others = sources.map((source) => this.table.get(source).id);
    await this.#addLinks(this.table.get(key).id, { others, inodes });
  }

  async #addLinks(
    id: number,
    links: { readonly others: readonly number[]; readonly inodes: BigUint64Array },
  ): Promise<void> {
    await addInodes(this.#inodeList(id), links.inodes);
    this.#tellUsageChange(this.table.addLinks(id, links.others));
  }

  async linkedInodes(key: string): Promise<BigUint64Array> {
    return await this.#readInodes(this.table.chain(key));
  }

  async #readInodes(ids: readonly number[]): Promise<BigUint64Array> {
    return await readInodes(ids.map((id) => this.#inodeList(id)));
  }

  #inodeList(id: number): string {
    return join(this.directoryOf(id), "linked-inodes");
  }

  async find(key: string): Promise<SnapshotInfo | undefined> {
    const row = this.table.find(key);
    return row === undefined ? undefined : toInfo(row);
  }

  async findMissing(key: string): Promise<string | undefined> {
    const id = this.table.chain(key).findLast((each, index) => {
      // A view of another snapshot has no files of its own.
      const isView = index === 0 && this.table.get(key).kind === "view";
      return !isView && isMissing(this.filesOf(each));
    });
    return id === undefined ? undefined : (this.table.nameOf(id) ?? key);
  }

  async usage(key: string, options: { readonly signal: AbortSignal }): Promise<SnapshotUsage> {
    const row = this.table.get(key);
    if (row.usage !== undefined) return row.usage;
    if (row.kind === "view") return { sizeBytes: 0, inodes: 0 };
    this.#measuring.add(key);
    try {
      const measured = await this.#meter.measure(this.directoryOf(row.id), options);
      const usage = { sizeBytes: Math.round(measured.sizeBytes), inodes: measured.inodes };
      if (this.#measuring.has(key) && row.kind === "committed") this.table.setUsage(row, usage);
      return usage;
    } finally {
      this.#measuring.delete(key);
    }
  }

  async *walk(): AsyncIterable<SnapshotInfo> {
    for (const row of this.table.all()) yield toInfo(row);
  }

  async merge(
    name: string,
    inputs: readonly (string | SnapshotDifference)[],
    options: { readonly signal: AbortSignal },
  ): Promise<void> {
    if (inputs.length === 0)
      throw new BuildError("invalid_argument", `Cannot merge snapshot "${name}": nothing to merge`);
    this.table.ensureFree(name);
    const base = typeof inputs[0] === "string" ? inputs[0] : undefined;
    // All exist before anything is made, and what lies below each is read before the first await.
    const below = base === undefined ? [] : this.table.chain(base);
    const steps = inputs
      .slice(base === undefined ? 0 : 1)
      .flatMap((input) => mergeStepsOf(input, (snapshot) => this.table.chain(snapshot)));
    this.#unfinished += 1;
    const key = `${unfinishedPrefix}${this.#unfinished}:${name}`;
    await this.prepare(key, base);
    try {
      const { id } = this.table.get(key);
      const request = this.mergeRequest(id, { base: below, steps });
      const linked = request.form.kind === "layers" ? steps.flatMap(linkedLayers) : [];
      const inodesBelow = await this.#readInodes(below);
      const inodes = await this.#readInodes(linked);
      await this.#trees.call({ ...request, inodesBelow }, options);
      await this.#addLinks(id, { others: linked, inodes });
      await this.commit(name, key);
    } catch (error) {
      await this.remove(key);
      throw error;
    }
  }

  abstract upperDir(key: string): Promise<string | undefined>;

  /** Waits for background work, syncs the disk and marks what is on it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#removed[Symbol.asyncDispose]();
    await this.#sync[Symbol.asyncDispose]();
    await this.#trees[Symbol.asyncDispose]();
  }

  protected abstract mountsOf(row: SnapshotRow): Mount[];
  /** Makes the directories of a new snapshot; synchronous, as it is part of a transaction. */
  protected abstract makeDirectory(id: number, parent: string | undefined): void;
  /** Puts into a new active snapshot what it has of its parent. */
  protected abstract fill(
    id: number,
    parent: string | undefined,
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** How to merge into a new active snapshot. @param merge Ids; `base` is what lies below it, highest first. */
  protected abstract mergeRequest(
    id: number,
    merge: { readonly base: readonly number[]; readonly steps: readonly SnapshotMergeStep[] },
  ): MergeRequest;

  protected directoryOf(id: number): string {
    return join(this.#root, String(id));
  }

  /** Where the files of a snapshot are. */
  protected filesOf(id: number): string {
    return join(this.#root, String(id), "fs");
  }

  protected async runTree(request: TreeRequest, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#trees.call(request, options);
  }

  #removeLeftovers(): void {
    const present = new Set(readdirSync(this.#root));
    const lost = this.table.forgetLost((id) => present.has(String(id)) && !isMissing(this.filesOf(id)));
    if (lost.missing.length > 0)
      this.#reporter.report(
        new BuildError("data_loss", `Cannot find the files of ${lost.missing.length} snapshots: they are forgotten`, {
          hint: `Such as ${lost.missing.slice(0, 3).join(", ")}; what was built on them is built again when it is asked for`,
        }),
        "open snapshots",
      );
    const known = new Set(this.table.allIds().map(String));
    for (const name of present) if (!known.has(name)) this.#removed.removeLeftover(join(this.#root, name));
  }
}

/** A view of a parent needs no directory of its own. */
function hasDirectory({ kind, parent }: Pick<SnapshotRow, "kind" | "parent">): boolean {
  return kind !== "view" || parent === undefined;
}

/** The snapshots whose files a step may have linked. */
function linkedLayers({ kind, upper }: SnapshotMergeStep): readonly number[] {
  return kind === "layer" ? upper.slice(0, 1) : upper;
}

function toInfo({ name, kind, parent }: SnapshotRow): SnapshotInfo {
  return { name, kind, parent };
}

/** Whether there is nothing at a path. A disk that cannot be read is no answer: what is on it may be there. */
function isMissing(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined;
}
