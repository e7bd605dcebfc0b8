import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Digest } from "@buildkit-ts/oci";
import { BackedCacheStore, type KeyBackend, type KeyLink, type StoredResult } from "./backed-cache-store.ts";
import { RememberedKeys } from "./remembered-keys.ts";
import type { ResultLoader } from "./result-loader.ts";

/**
 * A {@linkcode CacheStore} whose keys live in tables of its own in a database that others may use as well.
 *
 * No other store may use the same tables while this one is in use: it remembers what they hold.
 */
export class SqliteCacheStore extends BackedCacheStore {
  constructor(options: { readonly id: string; readonly database: DatabaseSync; readonly results: ResultLoader }) {
    super(options.id, new RememberedKeys(new SqliteKeyBackend(options.database)), options.results);
  }
}

const schema = `
  CREATE TABLE IF NOT EXISTS solver_links (
    source TEXT NOT NULL, input INTEGER NOT NULL, digest TEXT NOT NULL, selector TEXT NOT NULL, target TEXT NOT NULL,
    PRIMARY KEY (source, input, digest, selector, target)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS solver_links_by_target ON solver_links (target);
  CREATE TABLE IF NOT EXISTS solver_results (
    key TEXT NOT NULL, result TEXT NOT NULL, created_at REAL NOT NULL,
    PRIMARY KEY (key, result)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS solver_results_by_result ON solver_results (result);
`;

/** A key is there as long as a link leads from it or it has a result, so keys need no table. */
class SqliteKeyBackend implements KeyBackend {
  readonly #database: DatabaseSync;
  readonly #statements: Readonly<Record<keyof typeof statements, StatementSync>>;

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(schema);
    const prepare = (name: keyof typeof statements): StatementSync => database.prepare(statements[name]);
    this.#statements = {
      hasLinks: prepare("hasLinks"),
      hasResults: prepare("hasResults"),
      targets: prepare("targets"),
      addLink: prepare("addLink"),
      results: prepare("results"),
      addResult: prepare("addResult"),
      removeResult: prepare("removeResult"),
      keysOfResult: prepare("keysOfResult"),
      sources: prepare("sources"),
      removeLinksTo: prepare("removeLinksTo"),
    };
  }

  exists(key: string): boolean {
    return this.#statements.hasLinks.get(key) !== undefined || this.#statements.hasResults.get(key) !== undefined;
  }

  targets(key: string, { input, digest, selector }: KeyLink): readonly string[] {
    return this.#statements.targets.all(key, input, digest, selector).map((row) => String(row["target"]));
  }

  addLink(key: string, { input, digest, selector }: KeyLink, target: string): void {
    this.#statements.addLink.run(key, input, digest, selector, target);
  }

  results(key: string): readonly StoredResult[] {
    return this.#statements.results
      .all(key)
      .map((row) => ({ id: String(row["result"]), createdAt: Number(row["created_at"]) }));
  }

  addResult(key: string, result: StoredResult): void {
    this.#statements.addResult.run(key, result.id, result.createdAt);
  }

  release(result: string): void {
    const pending = [...this.keysOfResult(result)];
    this.#statements.removeResult.run(result);
    for (let key = pending.pop(); key !== undefined; key = pending.pop()) {
      if (this.exists(key)) continue;
      const sources = this.#statements.sources.all(key).map((row) => String(row["source"]));
      this.#statements.removeLinksTo.run(key);
      pending.push(...sources);
    }
  }

  keysOfResult(result: string): readonly string[] {
    return this.#statements.keysOfResult.all(result).map((row) => String(row["key"]));
  }

  sources(key: string): readonly { readonly key: string; readonly link: KeyLink }[] {
    return this.#statements.sources.all(key).map((row) => ({
      key: String(row["source"]),
      link: {
        input: Number(row["input"]),
        digest: String(row["digest"]) as Digest,
        selector: String(row["selector"]),
      },
    }));
  }

  transaction(changes: () => void): void {
    if (this.#database.isTransaction) {
      changes();
      return;
    }
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      changes();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

const statements = {
  hasLinks: "SELECT 1 AS one FROM solver_links WHERE source = ? LIMIT 1",
  hasResults: "SELECT 1 AS one FROM solver_results WHERE key = ? LIMIT 1",
  targets: "SELECT target FROM solver_links WHERE source = ? AND input = ? AND digest = ? AND selector = ?",
  addLink: "INSERT OR IGNORE INTO solver_links (source, input, digest, selector, target) VALUES (?, ?, ?, ?, ?)",
  results: "SELECT result, created_at FROM solver_results WHERE key = ?",
  addResult: "INSERT OR REPLACE INTO solver_results (key, result, created_at) VALUES (?, ?, ?)",
  removeResult: "DELETE FROM solver_results WHERE result = ?",
  keysOfResult: "SELECT key FROM solver_results WHERE result = ?",
  sources: "SELECT source, input, digest, selector FROM solver_links WHERE target = ?",
  removeLinksTo: "DELETE FROM solver_links WHERE target = ?",
} as const;
