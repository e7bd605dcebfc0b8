import { setImmediate as nextTurn } from "node:timers/promises";
import type { ListedEntry } from "@buildkit-ts/cache";
import type { Digest } from "@buildkit-ts/oci";

/** One path that differs between two listings. */
export interface FileChange {
  readonly path: string;
  /** `added`, `removed`, `content`, `mode 0644 → 0755`, `owner 0:0 → 1:1`, `link target a → b`, `file → symlink`. */
  readonly what: readonly string[];
  /** Present if bytes and attributes may both have changed, which only who has the file can tell. */
  readonly before?: ListedEntry;
}

export interface FileChanges {
  readonly count: number;
  /** How many of them are gone. */
  readonly removed: number;
  /** The first ones, by path. */
  readonly first: readonly FileChange[];
}

/** Gives the names in a directory; undefined, where it is not known any more. */
export type ReadDirectory = (digest: Digest) => readonly ListedEntry[] | undefined;

const maxShown = 10;
const directoriesPerTurn = 8;

/** What differs between two listings. Directories that are equal are not looked into. */
export async function compareListings(
  roots: { readonly before: Digest; readonly after: Digest },
  read: { readonly before: ReadDirectory; readonly after: ReadDirectory },
): Promise<FileChanges> {
  const comparison = new Comparison(read);
  const pending: PendingDirectory[] = [{ path: "", before: roots.before, after: roots.after }];
  let turns = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (++turns % directoriesPerTurn === 0) await nextTurn();
    // The stack gives the last one first.
    pending.push(...comparison.compare(next).toReversed());
  }
  const first = comparison.changes.toSorted((a, b) => (a.path < b.path ? -1 : 1)).slice(0, maxShown);
  return { count: comparison.count, removed: comparison.removed, first };
}

interface PendingDirectory {
  readonly path: string;
  readonly before: Digest | undefined;
  readonly after: Digest | undefined;
}

class Comparison {
  readonly changes: FileChange[] = [];
  count = 0;
  removed = 0;
  readonly #read: { readonly before: ReadDirectory; readonly after: ReadDirectory };

  constructor(read: { readonly before: ReadDirectory; readonly after: ReadDirectory }) {
    this.#read = read;
  }

  /** Compares the names of a directory, and gives the directories among them that differ. */
  compare({ path, before, after }: PendingDirectory): PendingDirectory[] {
    const old = byName(before === undefined ? [] : this.#read.before(before));
    const now = byName(after === undefined ? [] : this.#read.after(after));
    const inside: PendingDirectory[] = [];
    // A directory is new or gone with what is in it; only one without anything counts for itself.
    if (before === undefined && now.size === 0) this.#add({ path, what: ["added"] });
    if (after === undefined && old.size === 0) this.#add({ path, what: ["removed"] });
    for (const name of [...new Set([...old.keys(), ...now.keys()])].toSorted()) {
      const [one, two] = [old.get(name), now.get(name)];
      const at = path === "" ? name : `${path}/${name}`;
      this.#compareEntry(at, one, two);
      const [from, to] = [directoryOf(one), directoryOf(two)];
      if (from !== to) inside.push({ path: at, before: from, after: to });
    }
    return inside;
  }

  #compareEntry(path: string, before: ListedEntry | undefined, after: ListedEntry | undefined): void {
    const present = before ?? after;
    if (before === undefined || after === undefined) {
      if (present?.kind === "directory") return;
      if (after === undefined) this.removed += 1;
      this.#add({ path, what: [before === undefined ? "added" : "removed"] });
      return;
    }
    if (before.kind !== after.kind) {
      this.#add({ path, what: [`${before.kind} → ${after.kind}`] });
      return;
    }
    const what = attributeChanges(before, after);
    if (before.kind !== "file") {
      if (what.length > 0) this.#add({ path, what });
    } else if (before.digest !== after.digest) {
      if (what.length === 0 || before.sizeBytes !== after.sizeBytes) this.#add({ path, what: ["content", ...what] });
      else this.#add({ path, what, before });
    }
  }

  #add(change: FileChange): void {
    this.count += 1;
    if (this.changes.length < 4 * maxShown) this.changes.push(change);
  }
}

function attributeChanges(before: ListedEntry, after: ListedEntry): string[] {
  const what: string[] = [];
  if (before.link !== after.link) what.push(`link target ${before.link ?? ""} → ${after.link ?? ""}`);
  if (before.mode !== after.mode && before.kind !== "symlink") what.push(`mode ${octal(before)} → ${octal(after)}`);
  const [from, to] = [`${before.uid}:${before.gid}`, `${after.uid}:${after.gid}`];
  if (from !== to) what.push(`owner ${from} → ${to}`);
  return what;
}

function octal({ mode }: ListedEntry): string {
  return `0${mode.toString(8).padStart(3, "0")}`;
}

function directoryOf(entry: ListedEntry | undefined): Digest | undefined {
  return entry?.kind === "directory" ? entry.digest : undefined;
}

function byName(entries: readonly ListedEntry[] | undefined): Map<string, ListedEntry> {
  return new Map((entries ?? []).map((entry) => [entry.name, entry]));
}
