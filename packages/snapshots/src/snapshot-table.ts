import { BuildError } from "@buildkit-ts/errdefs";
import type { MetadataDatabase, Row } from "@buildkit-ts/metadata";
import { LRUCache } from "lru-cache";
import type { SnapshotInfo, SnapshotKind, SnapshotUsage } from "./snapshotter.ts";
import { ViewList } from "./view-list.ts";

/** A row of the table. The id names the snapshot's directory and is never used twice. */
export interface SnapshotRow extends SnapshotInfo {
  readonly id: number;
  readonly usage: SnapshotUsage | undefined;
}

const schema = [
  `CREATE TABLE snapshot (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     driver TEXT NOT NULL,
     name TEXT NOT NULL,
     kind TEXT NOT NULL,
     parent INTEGER REFERENCES snapshot (id),
     boot TEXT NOT NULL,
     durable INTEGER NOT NULL DEFAULT 0,
     size_bytes INTEGER,
     inodes INTEGER,
     UNIQUE (driver, name)
   ) STRICT`,
  "CREATE INDEX snapshot_parent ON snapshot (parent)",
  // Which snapshots have files in common, by hard links; both directions are kept.
  `CREATE TABLE snapshot_link (
     snapshot INTEGER NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,
     other INTEGER NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,
     PRIMARY KEY (snapshot, other)
   ) STRICT, WITHOUT ROWID`,
];

/** Begins the names of snapshots that are being merged; they do not outlive the daemon that merges. */
export const unfinishedPrefix = "merging:";

const linkedTo = "id IN (SELECT other FROM snapshot_link WHERE snapshot = ?)";

const columns = `s.id, s.name, s.kind, s.size_bytes, s.inodes,
  (SELECT p.name FROM snapshot p WHERE p.id = s.parent) AS parent`;

/** Some 5 MB. */
const rememberedRows = 16_384;

/** The snapshots of one driver, in the daemon's database. */
export class SnapshotTable {
  readonly #database: MetadataDatabase;
  readonly #driver: string;
  readonly #boot: string;
  readonly #views = new ViewList();
  /**
   * Rows that were asked for, by name, as they are: a step asks for some dozens of times. Nobody else writes to them, and
   * none is read after it was written to in the same transaction. A parent keeps its name as long as it has children.
   */
  readonly #rows = new LRUCache<string, SnapshotRow>({ max: rememberedRows });

  constructor(database: MetadataDatabase, options: { readonly driver: string; readonly boot: string }) {
    this.#database = database;
    this.#driver = options.driver;
    this.#boot = options.boot;
    database.migrate("snapshots", schema);
  }

  find(name: string): SnapshotRow | undefined {
    const view = this.#views.find(name);
    if (view !== undefined) return view;
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const sql = `SELECT ${columns} FROM snapshot s WHERE s.driver = ? AND s.name = ?`;
    const row = this.#database.get(sql, this.#driver, name);
    if (row === undefined) return undefined;
    const found = toSnapshot(row);
    this.#rows.set(name, found);
    return found;
  }

  /** @throws {BuildError} `not_found`. */
  get(name: string): SnapshotRow {
    const row = this.find(name);
    if (row === undefined) throw new BuildError("not_found", `Cannot find snapshot "${name}": it does not exist`);
    return row;
  }

  all(): SnapshotRow[] {
    const rows = this.#database.all(`SELECT ${columns} FROM snapshot s WHERE s.driver = ? ORDER BY s.id`, this.#driver);
    return [...rows.map(toSnapshot), ...this.#views.all()];
  }

  /** Ids of every driver, as these may share a directory. */
  allIds(): number[] {
    return this.#database.all("SELECT id FROM snapshot").map((row) => Number(row["id"]));
  }

  nameOf(id: number): string | undefined {
    const name = this.#database.get("SELECT name FROM snapshot WHERE id = ?", id)?.["name"];
    return name === undefined ? undefined : String(name);
  }

  /** Ids of a snapshot and its ancestors, the snapshot's own first. */
  chain(name: string): number[] {
    const ids: number[] = [];
    for (let row: SnapshotRow | undefined = this.get(name); row !== undefined; ) {
      ids.push(row.id);
      row = row.parent === undefined ? undefined : this.find(row.parent);
    }
    return ids;
  }

  /**
   * Inserts a row and lets the caller make its directory in the same transaction, so that neither is without the other.
   *
   * @throws {BuildError} `already_exists`; `not_found` or `failed_precondition` for the parent.
   */
  insert(
    name: string,
    options: {
      readonly kind: SnapshotKind;
      readonly parent: string | undefined;
      readonly makeDirectory: (id: number) => void;
    },
  ): number {
    return this.#database.transaction(() => {
      this.ensureFree(name);
      const parent = this.#committed(options.parent);
      const row = this.#database.get(
        "INSERT INTO snapshot (driver, name, kind, parent, boot) VALUES (?, ?, ?, ?, ?) RETURNING id",
        this.#driver,
        name,
        options.kind,
        parent?.id ?? null,
        this.#boot,
      );
      const id = Number(row?.["id"]);
      options.makeDirectory(id);
      return id;
    });
  }

  /** Shows a snapshot under another name until it is removed, or the process ends. @throws as {@linkcode SnapshotTable.insert} */
  insertView(name: string, parent: string): void {
    this.ensureFree(name);
    this.#committed(parent);
    this.#views.add(name, parent);
  }

  #committed(name: string | undefined): SnapshotRow | undefined {
    const row = name === undefined ? undefined : this.get(name);
    if (row !== undefined && row.kind !== "committed")
      throw new BuildError("failed_precondition", `Cannot use snapshot "${row.name}" as a parent: it is ${row.kind}`);
    return row;
  }

  /** @throws {BuildError} `already_exists`. */
  ensureFree(name: string): void {
    if (this.find(name) !== undefined) {
      throw new BuildError("already_exists", `Cannot create snapshot "${name}": it exists already`);
    }
  }

  /** Makes an active snapshot a committed one under another name. */
  commit(name: string, key: string): void {
    this.#database.transaction(() => {
      const row = this.get(key);
      if (row.kind !== "active") {
        throw new BuildError("failed_precondition", `Cannot commit snapshot "${key}": it is ${row.kind}`);
      }
      if (name !== key) this.ensureFree(name);
      this.#database.run(
        "UPDATE snapshot SET name = ?, kind = 'committed', durable = 0, boot = ?, size_bytes = NULL, inodes = NULL WHERE id = ?",
        name,
        this.#boot,
        row.id,
      );
      this.#rows.delete(key);
    });
  }

  /**
   * The reverse, under a new id. It is charged for its files anew, and no longer noted to have some in common with others:
   * each time it is reopened there may be one more of those.
   *
   * @param moveDirectory Gives its directory to the new id, in the same transaction; called again where that is tried again.
   * @returns The names of those that had files in common with it.
   */
  reopen(key: string, name: string, moveDirectory: (id: number) => void): string[] {
    return this.#database.transaction(() => {
      const { id, kind } = this.get(name);
      if (kind !== "committed")
        throw new BuildError("failed_precondition", `Cannot reopen snapshot "${name}": it is ${kind}`);
      this.#ensureNoChild({ id, name }, "reopen");
      this.ensureFree(key);
      const linked = this.#forgetUsage(id, linkedTo);
      const sql = `INSERT INTO snapshot (driver, name, kind, parent, boot)
        SELECT driver, ?, 'active', parent, ? FROM snapshot WHERE id = ? RETURNING id`;
      const made = this.#database.get(sql, key, this.#boot, id);
      this.#database.run("DELETE FROM snapshot WHERE id = ?", id);
      this.#rows.delete(name);
      moveDirectory(Number(made?.["id"]));
      return linked;
    });
  }

  #ensureNoChild({ id, name }: Pick<SnapshotRow, "id" | "name">, verb: "remove" | "reopen"): void {
    const child =
      this.#views.findViewOf(name)?.name ??
      this.#database.get("SELECT name FROM snapshot WHERE parent = ? LIMIT 1", id)?.["name"];
    if (child !== undefined)
      throw new BuildError(
        "failed_precondition",
        `Cannot ${verb} snapshot "${name}": "${String(child)}" is based on it`,
      );
  }

  /**
   * Notes that a snapshot holds links to files of others. @returns The names of all whose usage is another one now.
   */
  addLinks(id: number, others: readonly number[]): string[] {
    return this.#database.transaction(() => {
      for (const other of new Set(others)) {
        if (other === id) continue;
        for (const [from, to] of [
          [id, other],
          [other, id],
        ] as const)
          this.#database.run("INSERT OR IGNORE INTO snapshot_link (snapshot, other) VALUES (?, ?)", from, to);
      }
      // Its own is not known yet, and what it shares with those of earlier calls is not shared by more now.
      return [...new Set(others)].flatMap((other) => (other === id ? [] : this.#forgetUsage(other, "id = ?")));
    });
  }

  /** Of those that share files, or no longer do: how much is charged to each depends on how many share. */
  #forgetUsage(id: number, which: "id = ?" | typeof linkedTo): string[] {
    const rows = this.#database.all(`UPDATE snapshot SET size_bytes = NULL WHERE ${which} RETURNING name`, id);
    const names = rows.map((row) => String(row["name"]));
    for (const name of names) this.#rows.delete(name);
    return names;
  }

  /**
   * @returns Its row, and the names of those that are charged now for files that it had in common with them.
   * @throws {BuildError} `not_found`, or `failed_precondition` if it has children.
   */
  remove(name: string): { readonly row: SnapshotRow; readonly changed: readonly string[] } {
    const view = this.#views.find(name);
    if (view !== undefined) {
      this.#views.remove(name);
      return { row: view, changed: [] };
    }
    return this.#database.transaction(() => {
      const row = this.get(name);
      const { id } = row;
      this.#ensureNoChild(row, "remove");
      const changed = this.#forgetUsage(id, linkedTo);
      this.#database.run("DELETE FROM snapshot WHERE id = ?", id);
      this.#rows.delete(name);
      return { row, changed };
    });
  }

  /** What was measured of these no longer holds. */
  forgetUsage(names: readonly string[]): void {
    for (const name of names) {
      this.#database.run("UPDATE snapshot SET size_bytes = NULL WHERE driver = ? AND name = ?", this.#driver, name);
      this.#rows.delete(name);
    }
  }

  setUsage({ id, name }: Pick<SnapshotRow, "id" | "name">, { sizeBytes, inodes }: SnapshotUsage): void {
    this.#database.run("UPDATE snapshot SET size_bytes = ?, inodes = ? WHERE id = ?", sizeBytes, inodes, id);
    this.#rows.delete(name);
  }

  /** Someone may write to it from now on, so what was synced is no longer all. */
  markWritable(id: number): void {
    this.#database.run("UPDATE snapshot SET durable = 0, boot = ? WHERE id = ?", this.#boot, id);
  }

  /** Snapshots whose content may not be on the disk yet. */
  volatileIds(kinds: "committed" | "all"): number[] {
    const rows = this.#database.all(
      `SELECT id FROM snapshot WHERE driver = ? AND durable = 0 AND (kind = 'committed' OR ? = 'all')`,
      this.#driver,
      kinds,
    );
    return rows.map((row) => Number(row["id"]));
  }

  markDurable(ids: readonly number[]): void {
    this.#database.transaction(() => {
      for (const id of ids) this.#database.run("UPDATE snapshot SET durable = 1 WHERE id = ?", id);
    });
  }

  /**
   * Forgets snapshots that did not survive: those without a directory, those that a machine may have lost when it went down
   * (written in an earlier boot and never synced), views and unfinished merges, and whatever is based on any of them.
   *
   * @param hasDirectory Whether a snapshot's directory is there.
   * @returns The names of what was forgotten, and of those of them that had lost their directories.
   */
  forgetLost(hasDirectory: (id: number) => boolean): {
    readonly forgotten: readonly string[];
    readonly missing: readonly string[];
  } {
    this.#rows.clear();
    return this.#database.transaction(() => {
      const missing: string[] = [];
      const forgotten = this.#database
        .all("SELECT id, name, kind, boot, durable FROM snapshot WHERE driver = ?", this.#driver)
        .filter((row) => {
          if (row["kind"] === "view" || String(row["name"]).startsWith(unfinishedPrefix)) return true;
          if (row["durable"] === 0 && row["boot"] !== this.#boot) return true;
          if (hasDirectory(Number(row["id"]))) return false;
          if (row["kind"] === "committed") missing.push(String(row["name"]));
          return true;
        })
        .flatMap((row) => this.#forgetWithDescendants(Number(row["id"])));
      return { forgotten, missing };
    });
  }

  #forgetWithDescendants(id: number): string[] {
    const children = this.#database.all("SELECT id FROM snapshot WHERE parent = ?", id);
    const names = children.flatMap((row) => this.#forgetWithDescendants(Number(row["id"])));
    const row = this.#database.get("DELETE FROM snapshot WHERE id = ? RETURNING name", id);
    return row === undefined ? names : [...names, String(row["name"])];
  }
}

function toSnapshot(row: Row): SnapshotRow {
  const { id, name, kind, parent, size_bytes: sizeBytes, inodes } = row;
  return {
    id: Number(id),
    name: String(name),
    kind: kind as SnapshotKind,
    parent: typeof parent === "string" ? parent : undefined,
    usage: sizeBytes === null || inodes === null ? undefined : { sizeBytes: Number(sizeBytes), inodes: Number(inodes) },
  };
}
