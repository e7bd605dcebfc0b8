import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Digest } from "@buildkit-ts/oci";
import type { ContentListing } from "@buildkit-ts/solver";
import { ListingStore } from "./listing-store.ts";
import type { RecordedStep, StepIdentity, StoredStep } from "./step-record.ts";

export interface StepStoreOptions {
  readonly database: DatabaseSync;
  /** Of everything that is kept; the oldest goes first. Default 64 MiB. */
  readonly maxBytes?: number;
  readonly now?: () => number;
}

const schema = `
  CREATE TABLE IF NOT EXISTS explain_records (
    id INTEGER PRIMARY KEY, result TEXT NOT NULL, op TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, place TEXT NOT NULL,
    parent TEXT NOT NULL, project TEXT NOT NULL, recorded_at REAL NOT NULL, gone_at REAL, body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS explain_records_by_result ON explain_records (result);
  CREATE INDEX IF NOT EXISTS explain_records_by_op ON explain_records (op);
  CREATE INDEX IF NOT EXISTS explain_records_by_title ON explain_records (title);
  CREATE INDEX IF NOT EXISTS explain_records_by_place ON explain_records (place, project);
  CREATE INDEX IF NOT EXISTS explain_records_by_parent ON explain_records (parent);
`;
const columns = "id, result, project, recorded_at, gone_at, body";
const candidatesEach = 8;
const defaultMaxBytes = 64 << 20;

/** What a step is looked for by. */
export interface StepQuery extends StepIdentity {
  readonly op: string;
  /** Keys of the first input. */
  readonly parents: readonly string[];
}

/** A record as far as it is looked for by. */
export interface StepCandidate {
  readonly id: number;
  readonly op: string;
  readonly title: string;
  /** Empty for none. */
  readonly place: string;
  /** A key of the first input; empty for none. */
  readonly parent: string;
  readonly project: string;
}

/**
 * The components of keys, each as long as its result is there. Of a result that was removed it is kept what the step was,
 * but no longer the files, so that a later miss can say that the record was pruned.
 */
export class StepStore {
  readonly listings: ListingStore;
  readonly #database: DatabaseSync;
  readonly #maxBytes: number;
  readonly #now: () => number;
  readonly #statements = new Map<string, StatementSync>();
  #bytes: number;

  constructor(options: StepStoreOptions) {
    this.#database = options.database;
    this.#maxBytes = options.maxBytes ?? defaultMaxBytes;
    this.#now = options.now ?? Date.now;
    this.#database.exec(schema);
    this.listings = new ListingStore(this.#database);
    const steps = this.#prepare("SELECT coalesce(sum(length(body)), 0) AS total FROM explain_records").get();
    this.#bytes = this.listings.totalBytes + Number(steps?.["total"] ?? 0);
  }

  /** Bytes of everything that is kept. */
  get usedBytes(): number {
    return this.#bytes;
  }

  add(
    result: string,
    query: StepQuery,
    kept: { readonly step: RecordedStep; readonly listings: readonly ContentListing[] },
  ): void {
    this.#transaction(() => {
      for (const listing of kept.listings) this.#bytes += this.listings.add(listing);
      const body = JSON.stringify(kept.step);
      this.#bytes += Buffer.byteLength(body);
      this.#prepare(
        "INSERT INTO explain_records (result, op, kind, title, place, parent, project, recorded_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ).run(
        result,
        query.op,
        query.kind,
        query.title,
        query.place ?? "",
        query.parents[0] ?? "",
        query.project,
        this.#now(),
        body,
      );
      this.#keepWithinLimit();
    });
  }

  /** Records of steps that may be the same one, the newest first, each once. */
  candidates(query: StepQuery): StepCandidate[] {
    const found = new Map<number, StepCandidate>();
    const look = (where: string, ...values: string[]): void => {
      const sql = `SELECT id, op, kind, title, place, parent, project FROM explain_records WHERE ${where} ORDER BY id DESC LIMIT ${candidatesEach}`;
      for (const row of this.#prepare(sql).all(...values)) {
        if (row["kind"] === query.kind) found.set(Number(row["id"]), row as unknown as StepCandidate);
      }
    };
    look("op = ?", query.op);
    look("title = ?", query.title);
    if (query.place !== undefined) look("place = ? AND project = ?", query.place, query.project);
    if (query.parents[0] !== undefined) look("parent = ?", query.parents[0]);
    return [...found.values()].toSorted((a, b) => b.id - a.id);
  }

  /** All that is kept of a record; undefined, if it is gone by now. */
  find({ id }: StepCandidate): StoredStep | undefined {
    const row = this.#prepare(`SELECT ${columns} FROM explain_records WHERE id = ?`).get(id);
    return row === undefined ? undefined : toStored(row);
  }

  /** The result was removed: the files go with it, what the step was stays for a while. */
  markGone(result: string): void {
    const rows = this.#prepare(`SELECT ${columns} FROM explain_records WHERE result = ? AND gone_at IS NULL`).all(
      result,
    );
    if (rows.length === 0) return;
    this.#transaction(() => {
      for (const row of rows) {
        const { id, step } = toStored(row);
        this.#releaseListings(step);
        const without = JSON.stringify({
          ...step,
          inputs: step.inputs.map((input) => ({ ...input, listing: undefined })),
        });
        this.#bytes += Buffer.byteLength(without) - Buffer.byteLength(String(row["body"]));
        this.#prepare("UPDATE explain_records SET gone_at = ?, body = ? WHERE id = ?").run(this.#now(), without, id);
      }
    });
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }

  #keepWithinLimit(): void {
    if (this.#bytes <= this.#maxBytes) return;
    // Some more than needed, so that not every step has to remove others.
    const target = this.#maxBytes * 0.9;
    const oldest = this.#prepare(`SELECT ${columns} FROM explain_records ORDER BY id LIMIT 1`);
    for (let row = oldest.get(); row !== undefined && this.#bytes > target; row = oldest.get()) {
      const { id, step } = toStored(row);
      this.#releaseListings(step);
      this.#bytes -= Buffer.byteLength(String(row["body"]));
      this.#prepare("DELETE FROM explain_records WHERE id = ?").run(id);
    }
  }

  #releaseListings(step: RecordedStep): void {
    for (const { listing } of step.inputs) if (listing !== undefined) this.#bytes -= this.listings.release(listing);
  }

  #transaction(changes: () => void): void {
    if (this.#database.isTransaction) {
      changes();
      return;
    }
    const before = this.#bytes;
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      changes();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      this.#bytes = before;
      throw error;
    }
  }
}

function toStored(row: Record<string, unknown>): StoredStep {
  const goneAt = row["gone_at"];
  return {
    id: Number(row["id"]),
    result: String(row["result"]),
    project: String(row["project"]),
    recordedAt: Number(row["recorded_at"]),
    goneAt: goneAt === null ? undefined : Number(goneAt),
    step: JSON.parse(String(row["body"])) as RecordedStep,
  };
}

/** What is kept of the digests of a step. */
export function opKey(digests: readonly Digest[]): string {
  return digests.join(" ");
}
