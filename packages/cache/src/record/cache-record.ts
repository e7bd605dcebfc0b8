import { type ChainId, chainIds, type Descriptor, type DiffId } from "@buildkit-ts/oci";
import type { LazyProvider, RecordType } from "../refs.ts";

/** How a record's tree is made of other records' trees. */
export type RecordStructure =
  | { readonly kind: "layer"; readonly parent: CacheRecord | undefined }
  | { readonly kind: "merge"; readonly parents: readonly CacheRecord[] }
  | { readonly kind: "diff"; readonly lower: CacheRecord | undefined; readonly upper: CacheRecord | undefined };

/** The part of a record that survives the daemon, beside its structure. */
export interface RecordValues {
  mutable: boolean;
  retain: boolean;
  recordType: RecordType;
  description: string;
  createdAt: number;
  lastUsedAt: number | undefined;
  usageCount: number;
  /** Undefined until it is measured. */
  sizeBytes: number | undefined;
  /** A committed snapshot, or an active one where `mutable`; undefined while the tree is not unpacked. */
  snapshot: string | undefined;
  diffId: DiffId | undefined;
  /** Blobs of this layer alone, in several compressions; the first one is used where nothing else is asked for. */
  blobs: readonly Descriptor[];
}

/**
 * One tree of the cache, in memory. Refs are holds on it; the {@linkcode RecordRegistry} keeps its row.
 *
 *     active (mutable) ──commit──▶ committed ┐
 *     lazy (blobs only) ──extract──▶ unpacked ┴──prune──▶ gone
 */
export class CacheRecord {
  readonly id: string;
  readonly structure: RecordStructure;
  values: RecordValues;
  /** How many refs and mounts there are. */
  holds = 0;
  /** The records that are built on this one; they keep it from being removed, used or not. */
  readonly children: Set<CacheRecord> = new Set();
  /** Where blobs that are not here can be read. Not kept over a restart: it belongs to somebody's session. */
  lazy: LazyProvider | undefined;
  isGone = false;
  /** Goes with its last hold although it is committed. Its row is that of an unfinished tree, so a restart drops it. */
  isTransient = false;
  /** Its content, or that of a record that it is made of, is gone: only those who hold it still have it. */
  isLost = false;
  #chainId: ChainId | undefined;

  constructor(id: string, structure: RecordStructure, values: RecordValues) {
    this.id = id;
    this.structure = structure;
    this.values = values;
  }

  get parents(): CacheRecord[] {
    const { structure } = this;
    switch (structure.kind) {
      case "layer":
        return structure.parent === undefined ? [] : [structure.parent];
      case "merge":
        return [...structure.parents];
      case "diff":
        return [structure.lower, structure.upper].filter((record) => record !== undefined);
      default:
        return structure satisfies never;
    }
  }

  /** The records whose own changes, one over the other, are this tree; lowest first. Merges are flattened. */
  layers(): CacheRecord[] {
    if (this.structure.kind !== "layer") return this.#composedLayers();
    const layers: CacheRecord[] = [this];
    let record = this.structure.parent;
    while (record !== undefined) {
      const { structure }: CacheRecord = record;
      if (structure.kind !== "layer") return [...record.#composedLayers(), ...layers.toReversed()];
      layers.push(record);
      record = structure.parent;
    }
    return layers.toReversed();
  }

  #composedLayers(): CacheRecord[] {
    const { structure } = this;
    if (structure.kind === "merge") return structure.parents.flatMap((parent) => parent.layers());
    // The difference of a layer and what it lies on is that layer; it may have a blob already.
    if (structure.kind === "diff" && isDirectParent(structure.lower, structure.upper)) return [structure.upper];
    return [this];
  }

  /** The ChainID of {@linkcode CacheRecord.layers}, once all their DiffIDs are known. */
  get chainId(): ChainId | undefined {
    return (this.#chainId ??= this.#computeChainId());
  }

  /** For when a DiffID below has changed. */
  forgetChainId(): void {
    this.#chainId = undefined;
  }

  #computeChainId(): ChainId | undefined {
    const diffIds: DiffId[] = [];
    for (const { values } of this.layers()) {
      if (values.diffId === undefined) return undefined;
      diffIds.push(values.diffId);
    }
    return chainIds(diffIds).at(-1);
  }

  /** All that is built on this record, directly or not, and this one. */
  family(): ReadonlySet<CacheRecord> {
    const family = new Set<CacheRecord>([this]);
    for (const record of family) for (const child of record.children) family.add(child);
    return family;
  }

  /** Whether it is the record of this id, or made of it. */
  restsOn(id: string): boolean {
    const seen = new Set<CacheRecord>([this]);
    for (const record of seen) {
      if (record.id === id) return true;
      for (const parent of record.parents) seen.add(parent);
    }
    return false;
  }

  /** Whether nobody needs it but the cache. */
  get isUnused(): boolean {
    return this.holds === 0 && this.children.size === 0;
  }
}

function isDirectParent(lower: CacheRecord | undefined, upper: CacheRecord | undefined): upper is CacheRecord {
  return upper?.structure.kind === "layer" && upper.structure.parent === lower;
}
