import { hasErrno, pathOfAt } from "@buildkit-ts/sys";
import type { DirectoryCache } from "./directory-cache.ts";
import { type FileStat, hasContent, isDirectory, isSpecial, isSymlink } from "./file-stat.ts";
import { metadataFileName, metadataStat, type NumberedStat } from "./metadata-selection.ts";
import { ParentDirectories } from "./parent-directories.ts";
import { comparePaths } from "./path-order.ts";
import { protocolError } from "./protocol-error.ts";
import type { ReceiveOptions, TreeChange } from "./receive-options.ts";
import type { ReceivedDigests } from "./received-digests.ts";
import { isSameFile, type ReceivedTree } from "./received-tree.ts";
import { hasXattrs } from "./received-xattrs.ts";
import { TreeCursor } from "./tree-cursor.ts";
import type { UnchangedStart } from "./unchanged-start.ts";

/** What a {@linkcode TreeUpdate} works with. */
export interface TreeUpdateParts {
  readonly options: ReceiveOptions;
  readonly tree: ReceivedTree;
  /** What was listed before the first difference; its directory is the tree's own where that is updated. */
  readonly start: UnchangedStart | undefined;
  readonly digests: ReceivedDigests | undefined;
  /** Told of each file whose content is needed. */
  readonly want: (entry: NumberedStat) => void;
}

/**
 * Turns the tree before into the one that a sender lists, entry by entry: takes over what is the same, makes what is new,
 * removes what is gone, and asks for contents.
 */
export class TreeUpdate {
  readonly #parts: TreeUpdateParts;
  readonly #tree: ReceivedTree;
  /** The tree before, where it is another one. */
  readonly #old: DirectoryCache | undefined;
  readonly #cursor: TreeCursor | undefined;
  readonly #parents: ParentDirectories;
  readonly #links: FileStat[] = [];
  /** What is no longer the file that the tree before had there, so that further names of that are none of this. */
  readonly #made = new Set<string>();
  readonly #changes: TreeChange[] = [];

  constructor(parts: TreeUpdateParts) {
    const { options, tree, start } = parts;
    this.#parts = parts;
    this.#tree = tree;
    this.#parents = new ParentDirectories((directory) => tree.touchDirectory(directory));
    if (options.merge) return;
    this.#old = start?.directories === tree.directories ? undefined : start?.directories;
    this.#cursor = start?.cursor ?? new TreeCursor(tree.directories);
    if (start !== undefined) this.#keepAll(start);
  }

  get changes(): readonly TreeChange[] {
    return this.#changes;
  }

  /** Takes the next entry of the list. */
  receive({ stat, id }: NumberedStat): void {
    const old = this.#match(stat.path);
    this.#parents.enter(stat);
    if (old !== undefined && this.#isKept(old, stat)) {
      this.#cursor?.next();
      if (this.#keep(stat)) {
        if (isDirectory(stat) && old.modTime !== stat.modTime) this.#tree.touchDirectory(stat);
        return;
      }
    } else {
      this.#change(old === undefined ? "add" : "modify", stat.path);
    }
    this.#parents.touchCurrent();
    this.#replace(stat, old);
    this.#create({ stat, id });
  }

  #isKept(old: FileStat, stat: FileStat): boolean {
    const { differ, isUnfinished = false } = this.#parts.options;
    // The tree before is changed while it is read: a name that was replaced meanwhile is still its old file's first one there.
    const isOfMadeFile = !isSymlink(stat) && this.#made.has(stat.linkName);
    return differ === "metadata" && isSameFile(old, stat) && !isOfMadeFile && !(isUnfinished && isDirectory(stat));
  }

  /** Takes over what was listed before the first difference. */
  #keepAll(start: UnchangedStart): void {
    // In the tree itself files are as they should be.
    for (const { stat, id } of this.#old === undefined ? start.directoryEntries() : start.entries()) {
      this.#parents.enter(stat);
      if (!this.#keep(stat)) this.#create({ stat, id });
    }
    if (this.#old !== undefined) return;
    for (const directory of start.staleDirectories) this.#tree.touchDirectory(directory);
  }

  /** Deletes what is left of the tree before, and writes the list of one whose files are not all received. */
  endList(list: Buffer | undefined): void {
    const cursor = this.#cursor;
    while (cursor?.current !== undefined) {
      if (!this.#skipMetadataFile(cursor)) this.#deleteCurrent(cursor);
    }
    if (list !== undefined) this.#writeMetadataFile(list);
  }

  /** Does what can be done only when all contents are there: further names, and times of directories. */
  finish(): void {
    for (const link of this.#links) this.#tree.link(link);
    this.#tree.finish();
  }

  /** Deletes what the sender no longer has before this path; gives the old entry of the same path. */
  #match(path: string): FileStat | undefined {
    const cursor = this.#cursor;
    if (cursor === undefined) return undefined;
    while (cursor.current !== undefined) {
      if (this.#skipMetadataFile(cursor)) continue;
      const order = comparePaths(cursor.current.path, path);
      if (order > 0) return undefined;
      if (order === 0) return cursor.current;
      this.#deleteCurrent(cursor);
    }
    return undefined;
  }

  /** The list of the tree before is ours, not the sender's. */
  #skipMetadataFile(cursor: TreeCursor): boolean {
    if (this.#parts.options.onlyMatching === undefined || cursor.current?.path !== metadataFileName) return false;
    cursor.skip();
    return true;
  }

  #writeMetadataFile(bytes: Buffer): void {
    const old = (this.#old ?? this.#tree.directories).readFile(metadataFileName);
    if (old?.equals(bytes) !== true) this.#change(old === undefined ? "add" : "modify", metadataFileName);
    this.#tree.remove(metadataFileName);
    const file = this.#tree.beginFile(metadataStat(bytes.length));
    this.#tree.write(file, bytes);
    this.#tree.finishFile(file);
  }

  #deleteCurrent(cursor: TreeCursor): void {
    const path = cursor.current?.path ?? "";
    this.#change("delete", path);
    if (this.#old === undefined) {
      this.#parents.touch(path);
      this.#tree.remove(path);
    }
    cursor.skip();
  }

  #change(kind: TreeChange["kind"], path: string): void {
    this.#changes.push({ kind, path });
  }

  /** Takes an unchanged entry over; false if it has to be made anew. */
  #keep(stat: FileStat): boolean {
    if (this.#old === undefined) {
      if (isDirectory(stat) && this.#tree.updateXattrs(stat)) this.#noteXattrs(stat);
      return true;
    }
    if (isDirectory(stat)) {
      this.#tree.createDirectory(stat);
      if (!hasXattrs(pathOfAt(this.#old.at(stat.path)), stat)) this.#noteXattrs(stat);
      return true;
    }
    if (!isSymlink(stat) && stat.linkName !== "") {
      this.#links.push(stat);
      this.#parts.digests?.add(stat);
      return true;
    }
    try {
      this.#tree.adopt(this.#old, stat.path);
      return true;
    } catch (error) {
      if (!hasErrno(error, "EMLINK", "EXDEV", "EPERM")) throw error;
      return false;
    }
  }

  /** Extended attributes are not compared, but a directory, which no other tree shares, gets those that came. */
  #noteXattrs(stat: FileStat): void {
    this.#change("modify", stat.path);
    this.#parts.digests?.add(stat);
  }

  /** Makes room for a new entry and moves the cursor past the old one. */
  #replace(stat: FileStat, old: FileStat | undefined): void {
    const cursor = this.#cursor;
    if (cursor === undefined) {
      const found = this.#tree.isDirectoryOnDisk(stat.path);
      // A regular file is replaced when its bytes are there.
      if (found !== undefined && !(found && isDirectory(stat)) && !(hasContent(stat) && stat.linkName === "")) {
        this.#tree.remove(stat.path);
      }
      return;
    }
    if (old === undefined || cursor.current !== old) return;
    const bothDirectories = isDirectory(old) && isDirectory(stat);
    if (this.#old === undefined && !bothDirectories) this.#tree.remove(stat.path);
    if (bothDirectories) cursor.next();
    else cursor.skip();
  }

  #create({ stat, id }: NumberedStat): void {
    if (!isDirectory(stat) && this.#cursor?.current !== undefined) this.#made.add(stat.path);
    if (!hasContent(stat) || stat.linkName !== "") this.#parts.digests?.add(stat);
    if (isDirectory(stat)) {
      if (this.#tree.isDirectoryOnDisk(stat.path) === true) this.#tree.updateDirectory(stat);
      else this.#tree.createDirectory(stat);
    } else if (isSpecial(stat)) {
      this.#tree.createSpecial(stat);
    } else if (isSymlink(stat)) {
      this.#tree.createSymlink(stat);
    } else if (stat.linkName !== "") {
      // The file it names may not be there yet.
      this.#links.push(stat);
    } else {
      if (!hasContent(stat)) throw protocolError(`a file of unknown type ${stat.mode.toString(8)}`);
      this.#parts.want({ stat, id });
    }
  }
}
