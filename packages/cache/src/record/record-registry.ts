import { randomInt } from "node:crypto";
import type { ChainId, Digest } from "@buildkit-ts/oci";
import { CacheRecord, type RecordStructure, type RecordValues } from "./cache-record.ts";
import { type RecordTable, restoreStructure, type StoredRecord } from "./record-table.ts";

/**
 * All records, by what they are asked for. What is here and what is in the table never differ, but for the latest uses and
 * measured sizes.
 */
export class RecordRegistry {
  readonly table: RecordTable;
  readonly #records = new Map<string, CacheRecord>();
  readonly #byChainId = new Map<ChainId, Set<CacheRecord>>();
  readonly #byBlob = new Map<Digest, Set<CacheRecord>>();
  readonly #bySnapshot = new Map<string, Set<CacheRecord>>();
  /** Called when there may be more on the disk than before. */
  onGrowth: (() => void) | undefined;
  /** Called with the id of each record that is gone. */
  onRemoved: ((id: string) => void) | undefined;

  constructor(table: RecordTable) {
    this.table = table;
  }

  /**
   * Brings the stored records back, except those that `isWhole` denies and those that are built on such ones.
   *
   * @returns The records that were left out; their rows are gone.
   */
  load(isWhole: (stored: StoredRecord) => boolean): StoredRecord[] {
    const stored = new Map(this.table.load().map((record) => [record.id, record]));
    const lost = new Map<string, StoredRecord>();
    for (const record of stored.values()) this.#restore(record, { stored, lost, isWhole });
    this.table.transaction(() => {
      for (const id of lost.keys()) this.table.delete(id);
    });
    return [...lost.values()];
  }

  #restore(
    top: StoredRecord,
    context: {
      readonly stored: ReadonlyMap<string, StoredRecord>;
      readonly lost: Map<string, StoredRecord>;
      readonly isWhole: (stored: StoredRecord) => boolean;
    },
  ): void {
    const { stored, lost, isWhole } = context;
    // Parents first, by a stack: a chain may be longer than the call stack is deep. A record that is met again while it
    // waits for its parents names itself as an ancestor, which only damage can do.
    const stack = [top];
    const entered = new Set<string>();
    for (let record = stack.at(-1); record !== undefined; record = stack.at(-1)) {
      const missing = record.parents
        .filter((id) => id !== null)
        .map((id) => stored.get(id))
        .filter((parent) => parent !== undefined && !this.#records.has(parent.id) && !lost.has(parent.id));
      if (missing.length > 0 && !entered.has(record.id)) {
        entered.add(record.id);
        stack.push(...missing.filter((parent) => parent !== undefined));
        continue;
      }
      stack.pop();
      if (this.#records.has(record.id) || lost.has(record.id)) continue;
      const structure = isWhole(record) ? restoreStructure(record, (id) => this.#records.get(id)) : undefined;
      if (structure === undefined) lost.set(record.id, record);
      else this.#enter(new CacheRecord(record.id, structure, record.values));
    }
  }

  /** Makes a record with a new id. */
  add(structure: RecordStructure, values: Partial<RecordValues> & { readonly createdAt: number }): CacheRecord {
    return this.addNamed(newId(), structure, values);
  }

  addNamed(
    id: string,
    structure: RecordStructure,
    values: Partial<RecordValues> & { readonly createdAt: number },
  ): CacheRecord {
    const record = new CacheRecord(id, structure, { ...defaults, ...values });
    this.table.save(record);
    this.#enter(record);
    return record;
  }

  /** Changes a record: here also if it cannot be stored, which is thrown. */
  update(record: CacheRecord, change: Partial<RecordValues>): void {
    if (record.isGone) return;
    // Layers get their DiffIDs in any order, and a ChainID is of all of them.
    const isOtherChain = "diffId" in change && change.diffId !== record.values.diffId;
    const affected = isOtherChain ? record.family() : [record];
    for (const each of affected) this.#leaveIndexes(each);
    record.values = { ...record.values, ...change };
    if (isOtherChain) for (const each of affected) each.forgetChainId();
    for (const each of affected) this.#enterIndexes(each);
    this.table.save(record);
    if ("sizeBytes" in change && change.sizeBytes === undefined) this.onGrowth?.();
  }

  /** Notes a use of the record. Notes of the last second before a crash may be lost. */
  noteUse(record: CacheRecord, at: number): void {
    record.values = { ...record.values, lastUsedAt: at, usageCount: record.values.usageCount + 1 };
    this.table.saveSoon(record);
  }

  /** Notes what was measured of the record. Where that is lost with the process, it is measured again. */
  noteSize(record: CacheRecord, sizeBytes: number): void {
    record.values = { ...record.values, sizeBytes };
    this.table.saveSoon(record);
  }

  /** Forgets a record. Its snapshot and its blobs are the caller's to remove, afterwards. */
  remove(record: CacheRecord): void {
    if (record.isGone) return;
    this.table.delete(record.id);
    record.isGone = true;
    this.#records.delete(record.id);
    this.#leaveIndexes(record);
    for (const parent of record.parents) parent.children.delete(record);
    // What others name too is charged to one of those now.
    const { blobs, snapshot } = record.values;
    const sharing = blobs.flatMap(({ digest }) => [...this.recordsOfBlob(digest)]);
    if (snapshot !== undefined) sharing.push(...this.recordsOfSnapshot(snapshot));
    for (const other of sharing) this.update(other, { sizeBytes: undefined });
    this.onRemoved?.(record.id);
  }

  /**
   * Takes a record whose content is gone out of use, with all that is built on it: nobody finds them any more.
   *
   * @returns The records that are lost by that. A restart drops those that are held still.
   */
  retire(lost: CacheRecord): CacheRecord[] {
    if (lost.isLost || lost.isGone) return [];
    const retired = [...this.#records.values()].filter((record) => !record.isLost && record.restsOn(lost.id));
    this.table.transaction(() => {
      for (const record of retired) {
        this.#leaveIndexes(record);
        record.isLost = true;
        record.isTransient = true;
        this.#enterIndexes(record);
        this.table.save(record);
      }
    });
    return retired;
  }

  find(id: string): CacheRecord | undefined {
    return this.#records.get(id);
  }

  all(): IterableIterator<CacheRecord> {
    return this.#records.values();
  }

  /** The record of a layer that has this blob: one that is unpacked, where there is one. */
  findLayer(chainId: ChainId, blob: Digest): CacheRecord | undefined {
    const records = [...(this.#byChainId.get(chainId) ?? [])].filter(({ values }) =>
      values.blobs.some(({ digest }) => digest === blob),
    );
    return records.find(({ values }) => values.snapshot !== undefined) ?? records[0];
  }

  /**
   * The tree of a stack of layers, whatever blobs it was unpacked from. A ChainID is a claim of whoever made an image: where
   * it was unpacked, it was verified.
   */
  findTree(chainId: ChainId): string | undefined {
    for (const { values } of this.#byChainId.get(chainId) ?? [])
      if (values.snapshot !== undefined) return values.snapshot;
    return undefined;
  }

  /** Those whose tree it is: layers that are equal but for their blobs have one in common. */
  recordsOfSnapshot(name: string): ReadonlySet<CacheRecord> {
    return this.#bySnapshot.get(name) ?? new Set();
  }

  recordsOfBlob(digest: Digest): ReadonlySet<CacheRecord> {
    return this.#byBlob.get(digest) ?? new Set();
  }

  #enter(record: CacheRecord): void {
    this.#records.set(record.id, record);
    for (const parent of record.parents) parent.children.add(record);
    this.#enterIndexes(record);
  }

  #enterIndexes(record: CacheRecord): void {
    const chainId = indexedChainId(record);
    if (chainId !== undefined) addTo(this.#byChainId, chainId, record);
    const { blobs, snapshot } = record.values;
    for (const { digest } of blobs) addTo(this.#byBlob, digest, record);
    if (snapshot !== undefined) addTo(this.#bySnapshot, snapshot, record);
  }

  #leaveIndexes(record: CacheRecord): void {
    const chainId = indexedChainId(record);
    if (chainId !== undefined) removeFrom(this.#byChainId, chainId, record);
    const { blobs, snapshot } = record.values;
    for (const { digest } of blobs) removeFrom(this.#byBlob, digest, record);
    if (snapshot !== undefined) removeFrom(this.#bySnapshot, snapshot, record);
  }
}

const defaults = {
  mutable: false,
  retain: false,
  recordType: "regular",
  description: "",
  lastUsedAt: undefined,
  usageCount: 0,
  sizeBytes: undefined,
  snapshot: undefined,
  diffId: undefined,
  blobs: [],
} as const;

/** Only layers are found by their ChainID: a merge's is that of its parts, which have records of their own. */
function indexedChainId(record: CacheRecord): ChainId | undefined {
  if (record.structure.kind !== "layer" || record.values.mutable || record.isLost) return undefined;
  return record.values.diffId === undefined ? undefined : record.chainId;
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([value]));
  else set.add(value);
}

function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz";

/** 25 characters of base 36, as BuildKit's clients are used to see. */
export function newId(): string {
  return Array.from({ length: 25 }, () => alphabet.charAt(randomInt(alphabet.length))).join("");
}
