import { mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { type ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import { DeferredWrites } from "./deferred-writes.ts";
import { DiskReserve } from "./disk-reserve.ts";

/** How long a deferred write may wait. */
const deferMs = 1000;

/** What a column can hold. Integers beyond 2^53 are not used. */
export type SqlValue = string | number | null | Uint8Array;
/** One row, by column name. */
export type Row = Readonly<Record<string, SqlValue>>;

/**
 * The daemon's SQLite database. Each component owns its tables and brings their schema with
 * {@linkcode MetadataDatabase.migrate}.
 *
 * All calls are synchronous and take some microseconds; what was written before a crash of the process is there
 * afterwards, what was written in the last moments before a power failure may be missing as a whole, never in part.
 */
export class MetadataDatabase implements Disposable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #reserve: DiskReserve;
  readonly #deferred: DeferredWrites;
  #depth = 0;
  readonly path: string;

  private constructor(path: string, database: DatabaseSync, reporter: ErrorReporter) {
    this.path = path;
    this.#database = database;
    this.#reserve = new DiskReserve(`${path}.reserve`);
    this.#deferred = new DeferredWrites({
      transaction: (body) => this.transaction(body),
      onFailure: (error) => reporter.report(error, "deferred writes to the metadata database"),
      delayMs: deferMs,
    });
  }

  /**
   * Opens or creates the database.
   *
   * A damaged one is moved aside to `<path>.corrupt-<time>` and told to the reporter, and a fresh one is begun: all it
   * describes is cache, and a daemon that does not start helps nobody.
   *
   * @throws {BuildError} `failed_precondition`, if the file cannot be opened or was written by a newer daemon.
   */
  static open(path: string, options: { readonly reporter: ErrorReporter }): MetadataDatabase {
    const { reporter } = options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      return MetadataDatabase.#openSound(path, reporter);
    } catch (error) {
      if (!isCorruption(error)) throw openError(path, error);
      ensureReadable(path);
      const aside = `${path}.corrupt-${Date.now()}`;
      moveAside(path, aside);
      reporter.report(
        new BuildError("data_loss", `Cannot read metadata database "${path}": it is damaged`, {
          cause: error,
          hint: `It was moved to ${aside} and a new one was begun; the build cache is empty`,
        }),
        "open metadata database",
      );
      return MetadataDatabase.#openSound(path, reporter);
    }
  }

  static #openSound(path: string, reporter: ErrorReporter): MetadataDatabase {
    const database = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: true });
    try {
      database.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;");
      const check = database.prepare("PRAGMA quick_check(1)").get();
      if (check?.["quick_check"] !== "ok") throw new CorruptionError(String(check?.["quick_check"]));
      database.exec(
        "CREATE TABLE IF NOT EXISTS schema_version (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
      );
      return new MetadataDatabase(path, database, reporter);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The connection itself, for components that prepare their own statements. It is closed with this object. */
  get sqlite(): DatabaseSync {
    return this.#database;
  }

  /**
   * Brings a component's tables up to date: `steps[n]` leads from version n to n + 1 and is run once, ever.
   *
   * @throws {BuildError} `failed_precondition`, if the tables are of a version later than these steps know.
   */
  migrate(component: string, steps: readonly string[]): void {
    this.transaction(() => {
      const row = this.get("SELECT version FROM schema_version WHERE component = ?", component);
      const version = Number(row?.["version"] ?? 0);
      if (version > steps.length)
        throw new BuildError(
          "failed_precondition",
          `Cannot use metadata of "${component}": schema version ${version} is newer than ${steps.length}`,
          { hint: "Run the newer daemon, or remove its state directory" },
        );
      for (const step of steps.slice(version)) this.#database.exec(step);
      this.run("INSERT OR REPLACE INTO schema_version (component, version) VALUES (?, ?)", component, steps.length);
    });
  }

  /** Runs a statement and tells how many rows it changed. */
  run(sql: string, ...values: readonly SqlValue[]): number {
    const run = (): number => Number(this.#statement(sql).run(...(values as SQLInputValue[])).changes);
    return this.#depth === 0 ? this.#withReserve(run) : run();
  }

  /**
   * Makes a write within a second, together with others and in place of one with the same key that still waits. It is
   * lost if the process is killed before.
   */
  defer(key: unknown, write: () => void): void {
    this.#deferred.add(key, write);
  }

  /** The first row. */
  get(sql: string, ...values: readonly SqlValue[]): Row | undefined {
    return this.#statement(sql).get(...(values as SQLInputValue[])) as Row | undefined;
  }

  all(sql: string, ...values: readonly SqlValue[]): Row[] {
    return this.#statement(sql).all(...(values as SQLInputValue[])) as Row[];
  }

  /**
   * Runs `body` so that either all it writes is kept or, when it throws, nothing. Inside another transaction it joins
   * that one; the failure then undoes both, unless the outer body catches it.
   *
   * `body` is synchronous on purpose: no other code runs between its statements. It is run a second time, when the disk
   * was full at the first.
   */
  transaction<T>(body: () => T): T {
    return this.#depth === 0 ? this.#withReserve(() => this.#transact(body)) : this.#transact(body);
  }

  /** Runs a write; on a full disk once more with the space that is held for this. */
  #withReserve<T>(write: () => T): T {
    try {
      const result = write();
      this.#reserve.take();
      return result;
    } catch (error) {
      if (!isFull(error) || !this.#reserve.giveUp()) throw error;
      return write();
    }
  }

  #transact<T>(body: () => T): T {
    const name = `nested_${this.#depth}`;
    this.#database.exec(this.#depth === 0 ? "BEGIN IMMEDIATE" : `SAVEPOINT ${name}`);
    this.#depth += 1;
    try {
      const result = body();
      this.#depth -= 1;
      this.#database.exec(this.#depth === 0 ? "COMMIT" : `RELEASE ${name}`);
      return result;
    } catch (error) {
      this.#rollBack(name);
      throw error;
    }
  }

  #rollBack(name: string): void {
    // A failed COMMIT has lowered the depth already; SQLite says itself whether a transaction is left to undo.
    if (this.#database.isTransaction) {
      const isNested = name !== "nested_0";
      this.#database.exec(isNested ? `ROLLBACK TO ${name}; RELEASE ${name}` : "ROLLBACK");
    }
    this.#depth = Number(name.slice("nested_".length));
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Makes the deferred writes, folds the write-ahead log into the database and closes it. */
  [Symbol.dispose](): void {
    if (!this.#database.isOpen) return;
    this.#deferred.flush();
    this.#statements.clear();
    this.#database.close();
  }
}

class CorruptionError extends Error {}

const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;
const sqliteFull = 13;

function isCorruption(error: unknown): boolean {
  if (error instanceof CorruptionError) return true;
  const primary = primaryCode(error);
  return primary === sqliteCorrupt || primary === sqliteNotADatabase;
}

function isFull(error: unknown): boolean {
  return primaryCode(error) === sqliteFull;
}

function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  // The low byte is the primary result code, the others say more.
  return Number(error.errcode) & 0xff;
}

/** SQLite takes what a disk fails to give for damage. On a disk that works again the database is what it was. */
function ensureReadable(path: string): void {
  for (const suffix of ["", "-wal"])
    try {
      readFileSync(`${path}${suffix}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw openError(path, error);
    }
}

function moveAside(path: string, aside: string): void {
  renameSync(path, aside);
  // A log of the damaged file would be replayed into the new one.
  for (const suffix of ["-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
}

function openError(path: string, cause: unknown): BuildError {
  if (cause instanceof BuildError) return cause;
  const state = cause instanceof Error ? cause.message : String(cause);
  return new BuildError("failed_precondition", `Cannot open metadata database "${path}": ${state}`, { cause });
}
