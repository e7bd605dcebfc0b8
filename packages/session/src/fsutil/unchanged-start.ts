import { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, isDirectory } from "./file-stat.ts";
import { metadataFileName, type NumberedStat } from "./metadata-selection.ts";
import { isSameFile } from "./received-tree.ts";
import { TreeCursor } from "./tree-cursor.ts";

/** What is kept in memory of a tree that has not changed so far. */
const maxEntries = 65_536;

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
  readonly #entries: NumberedStat[] = [];
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

  get entries(): readonly NumberedStat[] {
    return this.#entries;
  }

  /** Those of the entries that are directories with another time in the tree before, which is not compared. */
  get staleDirectories(): readonly FileStat[] {
    return this.#staleDirectories;
  }

  /** @returns false for the first entry that is another one in the tree before, or one too many to be remembered. */
  take(entry: NumberedStat): boolean {
    const { differ, isUnfinished = false } = this.#options;
    const { stat } = entry;
    this.#skipList();
    const old = this.cursor.current;
    if (old?.path !== stat.path || differ === "none" || !isSameFile(old, stat)) return false;
    if (this.#entries.length >= maxEntries || (isUnfinished && isDirectory(stat))) return false;
    if (isDirectory(stat) && old.modTime !== stat.modTime) this.#staleDirectories.push(stat);
    this.#entries.push(entry);
    this.cursor.next();
    return true;
  }

  /** Whether the tree before has nothing more, so that the list, which ends here, is the same as it. */
  isWhole(list: Buffer | undefined): boolean {
    this.#skipList();
    if (this.cursor.current !== undefined) return false;
    return list === undefined || this.directories.readFile(metadataFileName)?.equals(list) === true;
  }

  #skipList(): void {
    if (this.#options.hasList && this.cursor.current?.path === metadataFileName) this.cursor.skip();
  }

  [Symbol.dispose](): void {
    this.directories[Symbol.dispose]();
  }
}
