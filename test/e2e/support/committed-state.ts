import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pipeline } from "node:stream/promises";

interface Blob {
  readonly digest: string;
  readonly size: number;
}

/**
 * What rows of a daemon's database name and the disk does not have as they say: blobs are hashed, snapshots looked for. To be
 * asked when nothing is built: a row may name a blob that a build is about to fetch.
 */
export async function brokenPromises(root: string): Promise<string[]> {
  using database = openDatabase(root);
  const blobs = new Map(namedBlobs(database.value).map((blob) => [blob.digest, blob]));
  const damaged: string[] = [];
  for (const { digest, size } of blobs.values()) {
    const path = join(root, "content/content/blobs/sha256", digest.slice("sha256:".length));
    if ((await digestOfFile(path, size)) !== digest) damaged.push(digest);
  }
  const lost = namedSnapshots(database.value).filter((id) => !existsSync(join(root, "snapshots", id, "fs")));
  // Garbage is collected meanwhile: what no row names any more need not be there.
  const named = new Set(namedBlobs(database.value).map(({ digest }) => digest));
  const left = new Set(namedSnapshots(database.value));
  return [
    ...damaged.filter((digest) => named.has(digest)).map((digest) => `blob ${digest} is missing or damaged`),
    ...lost.filter((id) => left.has(id)).map((id) => `snapshot ${id} is missing`),
  ];
}

function namedBlobs(database: DatabaseSync): Blob[] {
  const rows = database.prepare("SELECT blobs FROM cache_record").all();
  return rows.flatMap(({ blobs }) => JSON.parse(String(blobs)) as Blob[]);
}

function namedSnapshots(database: DatabaseSync): string[] {
  return database
    .prepare("SELECT id FROM snapshot WHERE kind = 'committed'")
    .all()
    .map(({ id }) => String(id));
}

/** Undefined for a file that is not there, or has another size. */
async function digestOfFile(path: string, size: number): Promise<string | undefined> {
  try {
    if (statSync(path).size !== size) return undefined;
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash);
    return `sha256:${hash.digest("hex")}`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function openDatabase(root: string): Disposable & { readonly value: DatabaseSync } {
  const value = new DatabaseSync(join(root, "state.db"), { readOnly: true });
  return { value, [Symbol.dispose]: () => value.close() };
}
