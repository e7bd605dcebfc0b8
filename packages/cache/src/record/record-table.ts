import { BuildError } from "@buildkit-ts/errdefs";
import type { MetadataDatabase, Row, SqlValue } from "@buildkit-ts/metadata";
import type { Descriptor, DiffId, Digest } from "@buildkit-ts/oci";
import type { RecordType } from "../refs.ts";
import { CacheRecord, type RecordStructure, type RecordValues } from "./cache-record.ts";

const schema = [
  `CREATE TABLE cache_record (
     id TEXT PRIMARY KEY, kind TEXT NOT NULL, parents TEXT NOT NULL, mutable INTEGER NOT NULL, retain INTEGER NOT NULL,
     record_type TEXT NOT NULL, description TEXT NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER,
     usage_count INTEGER NOT NULL, size_bytes INTEGER, snapshot TEXT, diff_id TEXT, blobs TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE cache_metadata (
     record TEXT NOT NULL REFERENCES cache_record (id) ON DELETE CASCADE,
     key TEXT NOT NULL, value TEXT NOT NULL, indexed INTEGER NOT NULL, PRIMARY KEY (record, key)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX cache_metadata_value ON cache_metadata (key, value) WHERE indexed = 1;
   CREATE TABLE cache_digests (
     record TEXT PRIMARY KEY REFERENCES cache_record (id) ON DELETE CASCADE, tree BLOB NOT NULL
   ) STRICT;
   CREATE TABLE cache_checksum (
     record TEXT NOT NULL REFERENCES cache_record (id) ON DELETE CASCADE,
     query TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (record, query)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE blob_pin (
     owner TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (owner, digest)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX blob_pin_digest ON blob_pin (digest);`,
];

const upsert = `INSERT INTO cache_record (id, kind, parents, mutable, retain, record_type, description, created_at,
    last_used_at, usage_count, size_bytes, snapshot, diff_id, blobs)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (id) DO UPDATE SET mutable = excluded.mutable, retain = excluded.retain,
    record_type = excluded.record_type, description = excluded.description, last_used_at = excluded.last_used_at,
    usage_count = excluded.usage_count, size_bytes = excluded.size_bytes, snapshot = excluded.snapshot,
    diff_id = excluded.diff_id, blobs = excluded.blobs`;

/** A row whose structure names other rows. */
export interface StoredRecord {
  readonly id: string;
  readonly kind: string;
  readonly parents: readonly (string | null)[];
  readonly values: RecordValues;
}

/** The cache's tables. */
export class RecordTable {
  readonly #database: MetadataDatabase;
  readonly #waitingTrees = new Map<string, Uint8Array>();
  readonly #waitingChecksums = new Map<string, Map<string, Digest>>();

  constructor(database: MetadataDatabase) {
    this.#database = database;
    database.migrate("cache", schema);
  }

  load(): StoredRecord[] {
    return this.#database.all("SELECT * FROM cache_record").map((row) => this.#read(row));
  }

  #read(row: Row): StoredRecord {
    return {
      id: String(row["id"]),
      kind: String(row["kind"]),
      parents: JSON.parse(String(row["parents"])) as (string | null)[],
      values: {
        mutable: row["mutable"] === 1,
        retain: row["retain"] === 1,
        recordType: String(row["record_type"]) as RecordType,
        description: String(row["description"]),
        createdAt: Number(row["created_at"]),
        lastUsedAt: optional(row["last_used_at"], Number),
        usageCount: Number(row["usage_count"]),
        sizeBytes: optional(row["size_bytes"], Number),
        snapshot: optional(row["snapshot"], String),
        diffId: optional(row["diff_id"], String) as DiffId | undefined,
        blobs: JSON.parse(String(row["blobs"])) as Descriptor[],
      },
    };
  }

  save(record: CacheRecord): void {
    const { values, structure } = record;
    this.#database.run(
      upsert,
      record.id,
      structure.kind,
      JSON.stringify(parentIds(structure)),
      Number(values.mutable || record.isTransient),
      Number(values.retain),
      values.recordType,
      values.description,
      values.createdAt,
      values.lastUsedAt ?? null,
      values.usageCount,
      values.sizeBytes ?? null,
      values.snapshot ?? null,
      values.diffId ?? null,
      JSON.stringify(values.blobs),
    );
  }

  /** Saves a moment later what may be lost with the process: when and how often the record was used, and its size. */
  saveSoon(record: CacheRecord): void {
    this.#database.defer(record, () => {
      if (!record.isGone) this.save(record);
    });
  }

  delete(id: string): void {
    this.#forgetWaiting(id);
    this.#database.run("DELETE FROM cache_record WHERE id = ?", id);
  }

  transaction<T>(body: () => T): T {
    return this.#database.transaction(body);
  }

  getMetadata(id: string, key: string): string | undefined {
    const row = this.#database.get("SELECT value FROM cache_metadata WHERE record = ? AND key = ?", id, key);
    return optional(row?.["value"], String);
  }

  setMetadata(id: string, key: string, entry: { readonly value: string | undefined; readonly index: boolean }): void {
    if (entry.value === undefined)
      this.#database.run("DELETE FROM cache_metadata WHERE record = ? AND key = ?", id, key);
    else
      this.#database.run(
        "INSERT OR REPLACE INTO cache_metadata (record, key, value, indexed) VALUES (?, ?, ?, ?)",
        id,
        key,
        entry.value,
        Number(entry.index),
      );
  }

  search(key: string, value: string): string[] {
    const sql = "SELECT record FROM cache_metadata WHERE key = ? AND value = ? AND indexed = 1";
    return this.#database.all(sql, key, value).map((row) => String(row["record"]));
  }

  getTree(id: string): Uint8Array | undefined {
    const waiting = this.#waitingTrees.get(id);
    if (waiting !== undefined) return waiting;
    const tree = this.#database.get("SELECT tree FROM cache_digests WHERE record = ?", id)?.["tree"];
    return tree instanceof Uint8Array ? tree : undefined;
  }

  /**
   * Written a moment later: a value of megabytes may be the one that has the database empty its log, and no build should
   * wait for the disk then. What is lost with the process is computed again.
   */
  setTree(id: string, tree: Uint8Array): void {
    this.#waitingTrees.set(id, tree);
    this.#database.defer(`tree of ${id}`, () => this.#writeTree(id));
  }

  #writeTree(id: string): void {
    const tree = this.#waitingTrees.get(id);
    this.#waitingTrees.delete(id);
    if (tree === undefined) return;
    // The record may be gone meanwhile.
    const sql = "INSERT OR REPLACE INTO cache_digests (record, tree) SELECT id, ? FROM cache_record WHERE id = ?";
    this.#database.run(sql, tree, id);
  }

  getChecksum(id: string, query: string): Digest | undefined {
    const waiting = this.#waitingChecksums.get(id)?.get(query);
    if (waiting !== undefined) return waiting;
    const row = this.#database.get("SELECT digest FROM cache_checksum WHERE record = ? AND query = ?", id, query);
    return optional(row?.["digest"], String) as Digest | undefined;
  }

  /** Written a moment later: what is lost with the process is computed again. */
  setChecksum(id: string, query: string, digest: Digest): void {
    const waiting = this.#waitingChecksums.get(id) ?? new Map<string, Digest>();
    this.#waitingChecksums.set(id, waiting.set(query, digest));
    this.#database.defer(`checksums of ${id}`, () => this.#writeChecksums(id));
  }

  #writeChecksums(id: string): void {
    const waiting = this.#waitingChecksums.get(id);
    this.#waitingChecksums.delete(id);
    // The record may be gone meanwhile.
    const sql =
      "INSERT OR REPLACE INTO cache_checksum (record, query, digest) SELECT id, ?, ? FROM cache_record WHERE id = ?";
    for (const [query, digest] of waiting ?? []) this.#database.run(sql, query, digest, id);
  }

  clearChecksums(id: string): void {
    this.#forgetWaiting(id);
    this.#database.run("DELETE FROM cache_checksum WHERE record = ?", id);
    this.#database.run("DELETE FROM cache_digests WHERE record = ?", id);
  }

  #forgetWaiting(id: string): void {
    this.#waitingTrees.delete(id);
    this.#waitingChecksums.delete(id);
  }

  pin(owner: string, digests: readonly Digest[]): void {
    this.#database.transaction(() => {
      for (const digest of digests)
        this.#database.run("INSERT OR IGNORE INTO blob_pin (owner, digest) VALUES (?, ?)", owner, digest);
    });
  }

  /** Returns the digests that the owner had pinned. */
  unpin(owner: string): Digest[] {
    return this.#database.transaction(() => {
      const rows = this.#database.all("SELECT digest FROM blob_pin WHERE owner = ?", owner);
      this.#database.run("DELETE FROM blob_pin WHERE owner = ?", owner);
      return rows.map((row) => String(row["digest"]) as Digest);
    });
  }

  /** All blobs that somebody has pinned. */
  pinnedBlobs(): Digest[] {
    return this.#database.all("SELECT DISTINCT digest FROM blob_pin").map((row) => String(row["digest"]) as Digest);
  }

  /** Ends pins whose owners lived in the last daemon. */
  unpinLeases(): void {
    this.#database.run("DELETE FROM blob_pin WHERE owner LIKE 'lease-%'");
  }

  isPinned(digest: Digest): boolean {
    return this.#database.get("SELECT 1 AS found FROM blob_pin WHERE digest = ? LIMIT 1", digest) !== undefined;
  }
}

/** The structure of a stored record, or undefined if it is made of records that are not there. */
export function restoreStructure(
  stored: StoredRecord,
  find: (id: string) => CacheRecord | undefined,
): RecordStructure | undefined {
  const parents = stored.parents.map((id) => (id === null ? undefined : find(id)));
  const present = parents.filter((parent) => parent !== undefined);
  if (present.length !== stored.parents.filter((id) => id !== null).length) return undefined;
  switch (stored.kind) {
    case "layer":
      return { kind: "layer", parent: parents[0] };
    case "merge":
      return { kind: "merge", parents: present };
    case "diff":
      return { kind: "diff", lower: parents[0], upper: parents[1] };
    default:
      throw new BuildError("data_loss", `Cannot read cache record "${stored.id}": unknown kind ${stored.kind}`);
  }
}

function parentIds(structure: RecordStructure): (string | null)[] {
  switch (structure.kind) {
    case "layer":
      return structure.parent === undefined ? [] : [structure.parent.id];
    case "merge":
      return structure.parents.map((parent) => parent.id);
    case "diff":
      return [structure.lower?.id ?? null, structure.upper?.id ?? null];
    default:
      return structure satisfies never;
  }
}

function optional<T>(value: SqlValue | undefined, convert: (value: SqlValue) => T): T | undefined {
  return value === null || value === undefined ? undefined : convert(value);
}
