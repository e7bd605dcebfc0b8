import { createHash } from "node:crypto";
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** What a committed snapshot's own files are, by path; the key begins with the snapshot's name. */
export type Fingerprint = ReadonlyMap<string, string>;

/** Reads all files of all committed snapshots of a daemon: kind, mode, owner, time, size and content. */
export function fingerprint(root: string): Fingerprint {
  using database = openDatabase(root);
  const list = database.value.prepare("SELECT id, name FROM snapshot WHERE kind = 'committed' ORDER BY id");
  const found = list
    .all()
    .map(({ id, name }) => [name, readSnapshot(join(root, "snapshots", String(id), "fs"), String(name))] as const);
  // A daemon that runs may have removed some meanwhile: first the row, then the files. One that is reopened has another name.
  const left = new Set(list.all().map(({ name }) => name));
  return new Map(found.filter(([name]) => left.has(name)).flatMap(([, entries]) => [...entries]));
}

function readSnapshot(path: string, name: string): Fingerprint {
  const entries = new Map<string, string>();
  try {
    addTree(path, name, entries);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    entries.set(`${name}/`, "not there");
  }
  return entries;
}

/** What differs between two, in the snapshots that both have. */
export function differences(before: Fingerprint, now: Fingerprint): string[] {
  const snapshotOf = (key: string): string => key.slice(0, key.indexOf("/"));
  const common = new Set([...now.keys()].map(snapshotOf));
  const keys = new Set([...before.keys(), ...now.keys()].filter((key) => common.has(snapshotOf(key))));
  const old = new Set([...before.keys()].map(snapshotOf));
  return [...keys]
    .filter((key) => old.has(snapshotOf(key)) && before.get(key) !== now.get(key))
    .map((key) => `${key}: ${before.get(key) ?? "absent"} → ${now.get(key) ?? "absent"}`);
}

function openDatabase(root: string): Disposable & { readonly value: DatabaseSync } {
  const value = new DatabaseSync(join(root, "state.db"), { readOnly: true });
  return { value, [Symbol.dispose]: () => value.close() };
}

function addTree(path: string, key: string, entries: Map<string, string>): void {
  const stat = lstatSync(path, { bigint: true });
  entries.set(`${key}/`.replace(/\/+$/, "/"), describe(path, stat));
  if (!stat.isDirectory()) return;
  for (const name of readdirSync(path)) addTree(join(path, name), `${key}/${name}`, entries);
}

function describe(path: string, stat: BigIntStats): string {
  const { mode, uid, gid, mtimeNs } = stat;
  const attributes = `${mode.toString(8)} ${uid}:${gid} ${mtimeNs}`;
  if (stat.isSymbolicLink()) return `${attributes} → ${readlinkSync(path)}`;
  if (!stat.isFile()) return attributes;
  return `${attributes} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`;
}
