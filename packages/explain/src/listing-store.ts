import type { DatabaseSync, StatementSync } from "node:sqlite";
import { decodeDirectory, type ListedEntry } from "@buildkit-ts/cache";
import type { Digest } from "@buildkit-ts/oci";
import type { ContentListing } from "@buildkit-ts/solver";

const schema = `
  CREATE TABLE IF NOT EXISTS explain_directories (
    digest TEXT PRIMARY KEY, bytes BLOB NOT NULL, uses INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** Directories of listings by their digests. One that several listings have in common is kept once, and counted. */
export class ListingStore {
  readonly #find: StatementSync;
  readonly #add: StatementSync;
  readonly #use: StatementSync;
  readonly #remove: StatementSync;
  readonly #sum: StatementSync;

  constructor(database: DatabaseSync) {
    database.exec(schema);
    this.#find = database.prepare("SELECT bytes, uses FROM explain_directories WHERE digest = ?");
    this.#add = database.prepare("INSERT INTO explain_directories (digest, bytes, uses) VALUES (?, ?, 1)");
    this.#use = database.prepare("UPDATE explain_directories SET uses = uses + ? WHERE digest = ?");
    this.#remove = database.prepare("DELETE FROM explain_directories WHERE digest = ?");
    this.#sum = database.prepare("SELECT coalesce(sum(length(bytes)), 0) AS total FROM explain_directories");
  }

  get totalBytes(): number {
    return Number(this.#sum.get()?.["total"] ?? 0);
  }

  /** The names in a directory; undefined, if it is not kept. */
  entries(digest: Digest): ListedEntry[] | undefined {
    const bytes = this.#find.get(digest)?.["bytes"];
    return bytes instanceof Uint8Array ? decodeDirectory(bytes) : undefined;
  }

  /** Keeps a listing, with one more use of its root. Gives the bytes that this took. */
  add({ root, directories }: ContentListing): number {
    let added = 0;
    const pending = [root];
    for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
      const bytes = directories.get(digest);
      if (bytes === undefined) continue;
      if (this.#find.get(digest) !== undefined) {
        this.#use.run(1, digest);
        continue;
      }
      this.#add.run(digest, bytes);
      added += bytes.length;
      pending.push(...subdirectories(decodeDirectory(bytes)));
    }
    return added;
  }

  /** Gives up one use of a listing's root. Gives the bytes that are free now. */
  release(root: Digest): number {
    let freed = 0;
    const pending = [root];
    for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
      const row = this.#find.get(digest);
      if (!(row?.["bytes"] instanceof Uint8Array)) continue;
      if (Number(row["uses"]) > 1) {
        this.#use.run(-1, digest);
        continue;
      }
      this.#remove.run(digest);
      freed += row["bytes"].length;
      pending.push(...subdirectories(decodeDirectory(row["bytes"])));
    }
    return freed;
  }
}

function subdirectories(entries: readonly ListedEntry[]): Digest[] {
  return entries.filter(({ kind }) => kind === "directory").map(({ digest }) => digest);
}
