import { BuildError } from "@buildkit-ts/errdefs";
import { type Digest, digestOf } from "@buildkit-ts/oci";

/** One name in a directory of a {@linkcode ContentListing}. */
export interface ListedEntry {
  readonly name: string;
  readonly kind: "file" | "directory" | "symlink";
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a file. */
  readonly sizeBytes: number;
  /** A directory's names that in it; a file's that of attributes and bytes together. */
  readonly digest: Digest;
  /** What a symbolic link says. */
  readonly link: string | undefined;
}

/** Files and directories with their attributes, as directories by their digests: equal ones are kept once. */
export interface ContentListing {
  readonly root: Digest;
  /** How many there are, links included. */
  readonly files: number;
  readonly directories: ReadonlyMap<Digest, Uint8Array>;
}

const kinds = { f: "file", d: "directory", l: "symlink" } as const;
const letters = { file: "f", directory: "d", symlink: "l" } as const;
const maxEntries = 50_000;

/** A directory that is being listed. */
class ListedDirectory {
  readonly entries = new Map<string, { readonly entry: ListedEntry; readonly inside: ListedDirectory | undefined }>();
}

/** Collects entries by their paths and gives the listing. */
export class ListingBuilder {
  readonly #root = new ListedDirectory();
  #count = 0;
  #files = 0;

  /**
   * @param path Of its directory, whose entries must have been added before.
   * @throws {BuildError} `resource_exhausted`, for more entries than anybody would want to compare.
   */
  add(path: readonly string[], entry: ListedEntry): void {
    let directory = this.#root;
    for (const name of path) {
      const { inside } = directory.entries.get(name) ?? {};
      if (inside === undefined) throw new TypeError("An entry was listed before its directory");
      directory = inside;
    }
    if (directory.entries.has(entry.name)) return;
    if (++this.#count > maxEntries)
      throw new BuildError("resource_exhausted", `Cannot list content: there are more than ${maxEntries} entries`);
    if (entry.kind !== "directory") this.#files += 1;
    const inside = entry.kind === "directory" ? new ListedDirectory() : undefined;
    directory.entries.set(entry.name, { entry, inside });
  }

  finish(): ContentListing {
    const directories = new Map<Digest, Uint8Array>();
    return { root: encode(this.#root, directories), files: this.#files, directories };
  }
}

/** Names of paths are never deeper than the kernel allows, so the call stack will do. */
function encode(directory: ListedDirectory, directories: Map<Digest, Uint8Array>): Digest {
  const names = [...directory.entries.keys()].toSorted((a, b) => (a < b ? -1 : 1));
  const rows = names.map((name) => {
    const { entry, inside } = directory.entries.get(name) ?? { entry: undefined, inside: undefined };
    if (entry === undefined) throw new TypeError("A name has no entry");
    const { kind, mode, uid, gid, sizeBytes, link } = entry;
    const digest = inside === undefined ? entry.digest : encode(inside, directories);
    const row = [name, letters[kind], mode, uid, gid, sizeBytes, digest];
    return JSON.stringify(link === undefined ? row : [...row, link]);
  });
  // In a buffer of its own: it is sent between threads, and kept.
  const bytes = new TextEncoder().encode(`[${rows.join(",\n")}]`);
  const digest = digestOf(bytes);
  directories.set(digest, bytes);
  return digest;
}

/** The names in one directory of a listing, in order. */
export function decodeDirectory(bytes: Uint8Array): ListedEntry[] {
  type Row = readonly [string, keyof typeof kinds, number, number, number, number, Digest, string?];
  const rows = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")) as Row[];
  return rows.map(([name, kind, mode, uid, gid, sizeBytes, digest, link]) => ({
    name,
    kind: kinds[kind],
    mode,
    uid,
    gid,
    sizeBytes,
    digest,
    link,
  }));
}
