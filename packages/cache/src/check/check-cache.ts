import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { FileContentStore } from "@buildkit-ts/content";
import { BuildError } from "@buildkit-ts/errdefs";
import type { LayerCodec } from "@buildkit-ts/layers";
import type { MetadataDatabase } from "@buildkit-ts/metadata";
import type { Descriptor, Digest } from "@buildkit-ts/oci";
import type { Snapshotter } from "@buildkit-ts/snapshots";
import { RecordTable, type StoredRecord } from "../record/record-table.ts";
import { removeUnpacked } from "../trees/remove-unpacked.ts";
import { digestOfFile } from "./digest-of-file.ts";
import { findTreeDifference } from "./tree-difference.ts";

/** What {@linkcode checkCache} works with; nobody else may use it meanwhile. */
export interface CheckedCache {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly snapshotter: Snapshotter;
  readonly content: FileContentStore;
  readonly codec: LayerCodec;
}

/** How much was looked at, and what was wrong with it. */
export interface CacheCheck {
  readonly blobs: number;
  readonly records: number;
  /** Records whose files were compared with their layer. */
  readonly compared: number;
  /** One line for each thing that was wrong; it is gone now. */
  readonly problems: readonly string[];
}

/**
 * Verifies what a cache holds, and removes what is not what it should be: every blob is hashed, and the files of every record
 * that has its layer here are compared with it. Records that lose their files by that are forgotten, with all that is built on
 * them, when the cache is opened next; a record whose files cannot be compared is believed.
 */
export async function checkCache(cache: CheckedCache, options: { readonly signal: AbortSignal }): Promise<CacheCheck> {
  const checker = new CacheChecker(cache, options.signal);
  await checker.checkBlobs();
  await checker.checkRecords();
  return checker;
}

class CacheChecker implements CacheCheck {
  readonly problems: string[] = [];
  blobs = 0;
  records = 0;
  compared = 0;
  readonly #cache: CheckedCache;
  readonly #table: RecordTable;
  readonly #signal: AbortSignal;
  readonly #sound = new Set<Digest>();

  constructor(cache: CheckedCache, signal: AbortSignal) {
    this.#cache = cache;
    this.#signal = signal;
    this.#table = new RecordTable(cache.database);
  }

  async checkBlobs(): Promise<void> {
    const { content } = this.#cache;
    for await (const { digest } of content.walk()) {
      this.blobs += 1;
      const problem = await this.#findBlobProblem(digest);
      if (problem === undefined) this.#sound.add(digest);
      else {
        this.problems.push(problem);
        await content.delete(digest);
      }
    }
  }

  async #findBlobProblem(digest: Digest): Promise<string | undefined> {
    this.#signal.throwIfAborted();
    try {
      const found = `sha256:${await digestOfFile(this.#cache.content.pathOf(digest))}`;
      return found === digest ? undefined : `blob ${digest}: its bytes have digest ${found}`;
    } catch (error) {
      return `blob ${digest}: ${BuildError.from(error).message}`;
    }
  }

  async checkRecords(): Promise<void> {
    for (const record of this.#table.load()) {
      this.#signal.throwIfAborted();
      this.records += 1;
      const problem = await this.#findRecordProblem(record);
      if (problem === undefined) continue;
      this.problems.push(`record ${record.id} (${record.values.description}): ${problem}`);
      this.#table.delete(record.id);
    }
  }

  async #findRecordProblem(record: StoredRecord): Promise<string | undefined> {
    const { snapshot, mutable, blobs } = record.values;
    if (snapshot === undefined) return undefined;
    const { snapshotter } = this.#cache;
    const info = await snapshotter.find(snapshot);
    if (info === undefined || (await snapshotter.findMissing(snapshot)) !== undefined) return "its files are gone";
    const layer = blobs.find(({ digest }) => this.#sound.has(digest));
    const directory = await snapshotter.upperDir(snapshot);
    // Without upper directories a layer does not show in the tree; a merge's and a difference's files are those of others.
    if (mutable || record.kind !== "layer" || layer === undefined || directory === undefined) return undefined;
    this.compared += 1;
    return await this.#compare(layer, { directory, isLowest: info.parent === undefined });
  }

  /** Unpacks the layer beside the record's files, and compares. */
  async #compare(
    layer: Descriptor,
    tree: { readonly directory: string; readonly isLowest: boolean },
  ): Promise<string | undefined> {
    const { root, codec, content } = this.#cache;
    const unpacked = join(root, "staging", "check");
    await removeUnpacked(unpacked);
    await mkdir(unpacked, { recursive: true, mode: 0o755 });
    try {
      const blob = { path: content.pathOf(layer.digest), mediaType: layer.mediaType };
      const form = tree.isLowest ? "merged" : "overlay-upper";
      await codec.apply(blob, { directory: unpacked, form }, { signal: this.#signal });
      return await findTreeDifference(unpacked, tree.directory, { signal: this.#signal });
    } finally {
      await removeUnpacked(unpacked);
    }
  }
}
