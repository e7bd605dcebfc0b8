import { BuildError } from "@buildkit-ts/errdefs";
import { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, isDirectory } from "./file-stat.ts";
import { metadataFileName, type NumberedStat } from "./metadata-selection.ts";
import { isSameFile } from "./received-tree.ts";
import { TreeCursor } from "./tree-cursor.ts";

/**
 * Entries that are remembered, of which the tree before does not say all: directories, and what has extended attributes. Their
 * names and attributes are limited with the whole list. A tree with more of them is written anew at each sync.
 */
const maxRemembered = 1_000_000;

/** How a tree is compared with the one before. */
export interface ComparisonOptions {
  /** The directory of the tree before. */
  readonly previous: string;
  /** `none` takes nothing for the same. */
  readonly differ: "metadata" | "none";
  /** The tree before may lack times and attributes of directories: a sync of it did not come to its end. */
  readonly isUnfinished?: boolean;
  /** The tree before has a list of its own, which the sender knows nothing of. */
  readonly hasList: boolean;
}

/**
 * The entries of a list before its first difference to the tree before. Most syncs have none, and nothing is written for
 * these.
 */
export class UnchangedStart implements Disposable {
  readonly #options: ComparisonOptions;
  /** Of all entries, eight bytes each. */
  readonly #ids: number[] = [];
  /** By their places among the entries. */
  readonly #remembered = new Map<number, FileStat>();
  readonly #staleDirectories: FileStat[] = [];
  /** The tree before. */
  readonly directories: DirectoryCache;
  /** Stands on the first entry of the tree before that was not listed yet. */
  readonly cursor: TreeCursor;

  constructor(options: ComparisonOptions) {
    this.#options = options;
    using resources = new DisposableStack();
    this.directories = resources.use(new DirectoryCache(options.previous));
    this.cursor = new TreeCursor(this.directories);
    resources.move();
  }

  /** All entries. Those that the tree before says all of are read from it again, so it must not have been changed. */
  *entries(): Generator<NumberedStat, void> {
    const cursor = new TreeCursor(this.directories);
    for (const [index, id] of this.#ids.entries()) {
      this.#skipList(cursor);
      const { current } = cursor;
      if (current === undefined) throw new BuildError("internal", "The tree before has changed during a sync");
      yield { stat: this.#remembered.get(index) ?? current, id };
      cursor.next();
    }
  }

  /** Those of the entries that are directories. */
  *directoryEntries(): Generator<NumberedStat, void> {
    for (const [index, stat] of this.#remembered) {
      const id = this.#ids[index];
      if (id !== undefined && isDirectory(stat)) yield { stat, id };
    }
  }

  /** Those of the entries that are directories with another time in the tree before, which is not compared. */
  get staleDirectories(): readonly FileStat[] {
    return this.#staleDirectories;
  }

  /** @returns false for the first entry that is another one in the tree before, or one too many to be remembered. */
  take({ stat, id }: NumberedStat): boolean {
    const { differ, isUnfinished = false } = this.#options;
    this.#skipList(this.cursor);
    const old = this.cursor.current;
    if (old?.path !== stat.path || differ === "none" || !isSameFile(old, stat)) return false;
    if (this.#remembered.size >= maxRemembered || (isUnfinished && isDirectory(stat))) return false;
    if (isDirectory(stat) && old.modTime !== stat.modTime) this.#staleDirectories.push(stat);
    if (isDirectory(stat) || stat.xattrs !== undefined) this.#remembered.set(this.#ids.length, stat);
    this.#ids.push(id);
    this.cursor.next();
    return true;
  }

  /** Whether the tree before has nothing more, so that the list, which ends here, is the same as it. */
  isWhole(list: Buffer | undefined): boolean {
    this.#skipList(this.cursor);
    if (this.cursor.current !== undefined) return false;
    return list === undefined || this.directories.readFile(metadataFileName)?.equals(list) === true;
  }

  #skipList(cursor: TreeCursor): void {
    if (this.#options.hasList && cursor.current?.path === metadataFileName) cursor.skip();
  }

  [Symbol.dispose](): void {
    this.directories[Symbol.dispose]();
  }
}
