import { closeSync } from "node:fs";
import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { type FilterState, initialFilterState, type PathFilter } from "@buildkit-ts/patterns";
import {
  type AbortCheck,
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  type At,
  applyAttributesAt,
  attributesOf,
  chmodAt,
  copyEntryAt,
  copyXattrs,
  type FileAttributes,
  type FilePath,
  type FileStat,
  findLstatAt,
  hasErrno,
  joinPath,
  linkAt,
  lstatAt,
  O_PATH,
  openDirectoryAt,
  openInRoot,
  pathOfAt,
  readNames,
  removeTreeAt,
  unlinkAt,
} from "@buildkit-ts/sys";
import type { Owner } from "../file-actions.ts";
import { CopyTarget } from "./copy-target.ts";
import type { FileLinker } from "./file-linker.ts";
import type { ModeChange } from "./mode-change.ts";
import { withPath } from "./path-error.ts";
import { isPortableXattr } from "./portable-xattr.ts";
import { decodeName, encodeName, type TreeRoot } from "./tree-root.ts";

const O_NOFOLLOW = 0o400000;

export interface TreeCopierOptions {
  readonly filter: PathFilter;
  readonly owner: Owner | undefined;
  readonly changeMode: ModeChange | undefined;
  readonly timestampNs: bigint | undefined;
  readonly alwaysReplaceExisting: boolean;
  readonly checkAborted: AbortCheck;
  /** Links what need not be copied. */
  readonly linker: FileLinker | undefined;
}

/** A source that was looked at. */
type Source = At & { readonly stat: FileStat };

/** Copies one file or directory with all that the filter lets through. Hard links among the copied files are kept. */
export class TreeCopier {
  readonly #root: TreeRoot;
  readonly #options: TreeCopierOptions;
  readonly #linkedPaths = new Map<bigint, FilePath>();

  /** @param root The tree that is copied into. */
  constructor(root: TreeRoot, options: TreeCopierOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** @param path Where to, resolved; its parent is there. */
  copy(from: At, path: string): void {
    using parent = this.#root.openParent(path);
    const directory = CopyTarget.existing(parent, encodeName(posix.dirname(path)));
    const source = { fd: from.fd, path: from.path, stat: lstatAt(from) };
    if (!source.stat.isDirectory()) {
      this.#copyFile(source, directory, parent.path);
      return;
    }
    using target = directory.child(parent.path, { mayReplace: this.#options.alwaysReplaceExisting });
    target.open();
    this.#copyChildren(source, target, { path: "", state: initialFilterState });
    if (target.wasMade) this.#copyDirectoryAttributes(source, target);
    else {
      // What was there before keeps all but its times, which the copying has changed.
      const { mode, uid, gid } = target.stat();
      const { accessNs, modificationNs } = this.#attributesOf(source.stat);
      const attributes = { mode: mode & 0o7777, uid, gid, accessNs, modificationNs };
      applyAttributesAt(target.at, { attributes, isSymbolicLink: false });
    }
  }

  #copyChildren(from: At, target: CopyTarget, context: { readonly path: string; readonly state: FilterState }): void {
    const source = openDirectoryAt(from);
    try {
      for (const name of readNames(source)) {
        this.#options.checkAborted();
        this.#copyChild({ fd: source, path: name }, target, context);
      }
    } finally {
      closeSync(source);
    }
  }

  #copyChild(from: At, directory: CopyTarget, context: { readonly path: string; readonly state: FilterState }): void {
    const { filter } = this.#options;
    const name = decodeName(from.path);
    const path = context.path === "" ? name : `${context.path}/${name}`;
    const decision = filter.isEmpty ? everything : filter.decide(path, context.state);
    // Before it is looked at: who excludes a path may do so because it cannot be read.
    if (!decision.isIncluded && !decision.mayIncludeBelow) return;
    const source = { fd: from.fd, path: from.path, stat: lstatAt(from) };
    if (!source.stat.isDirectory()) {
      if (decision.isIncluded) this.#copyFile(source, directory, from.path);
      return;
    }
    const mayReplace = decision.isIncluded && this.#options.alwaysReplaceExisting;
    using target = directory.child(from.path, { mayReplace });
    // A directory that is not included itself is made when something in it is.
    if (decision.isIncluded) target.open();
    if (decision.mayIncludeBelow) this.#copyChildren(source, target, { path, state: decision.state });
    if (!target.isOpen) return;
    // At the end, since what is made in it changes its times.
    if (decision.isIncluded || target.wasMade) this.#copyDirectoryAttributes(source, target);
    else chmodAt(target.at, source.stat.mode & 0o7777);
  }

  #copyDirectoryAttributes(source: Source, target: CopyTarget): void {
    copyXattrs(pathOfAt(source), pathOfAt(target.at), isPortableXattr);
    applyAttributesAt(target.at, { attributes: this.#attributesOf(source.stat), isSymbolicLink: false });
  }

  #copyFile(source: Source, directory: CopyTarget, name: FilePath): void {
    const path = joinPath(directory.path === "/" ? "" : directory.path, name);
    withPath("copy", printable(path), () => {
      const to = { fd: directory.open(), path: name };
      if (!directory.wasMade) this.#clear(to, { path, below: directory.findBelow(name) });
      const attributes = this.#attributesOf(source.stat);
      if (this.#options.linker?.link(source, to, attributes) === true) return;
      const isLinked = source.stat.isFile() && source.stat.linkCount > 1;
      if (isLinked && this.#link(source.stat.inode, to)) {
        applyAttributesAt(to, { attributes, isSymbolicLink: false });
        return;
      }
      const { checkAborted } = this.#options;
      copyEntryAt(source, to, { attributes, checkAborted, acceptXattr: isPortableXattr });
      if (isLinked) this.#linkedPaths.set(source.stat.inode, path);
    });
  }

  /** Makes a name free for something that is no directory. */
  #clear(to: At, { path, below }: { readonly path: FilePath; readonly below: FileStat | undefined }): void {
    const own = findLstatAt(to);
    const existing = own ?? below;
    if (existing === undefined) return;
    if (!existing.isDirectory()) {
      // What is below is hidden by what comes in its place.
      if (own !== undefined) unlinkAt(to);
    } else if (this.#options.alwaysReplaceExisting) removeTreeAt(to, this.#options.checkAborted);
    else {
      throw new BuildError("failed_precondition", `cannot replace to directory ${printable(path)} with file`);
    }
  }

  #link(inode: bigint, to: At): boolean {
    const path = this.#linkedPaths.get(inode);
    if (path === undefined) return false;
    try {
      const first = openInRoot(this.#root.fd, path, { flags: O_PATH | O_NOFOLLOW });
      try {
        linkAt({ fd: AT_FDCWD, path: `/proc/self/fd/${first}` }, to, AT_SYMLINK_FOLLOW);
      } finally {
        closeSync(first);
      }
      return true;
    } catch (error) {
      if (hasErrno(error, "EMLINK", "EPERM", "EXDEV", "ENAMETOOLONG", "ENOENT")) return false;
      throw error;
    }
  }

  #attributesOf(stat: FileStat): FileAttributes {
    const { owner, changeMode, timestampNs } = this.#options;
    const own = attributesOf(stat);
    return {
      uid: owner?.uid ?? own.uid,
      gid: owner?.gid ?? own.gid,
      mode: changeMode === undefined ? own.mode : changeMode(own.mode, { isDirectory: stat.isDirectory() }),
      accessNs: timestampNs ?? own.accessNs,
      modificationNs: timestampNs ?? own.modificationNs,
    };
  }
}

const everything = { isIncluded: true, mayIncludeBelow: true, state: initialFilterState };

function printable(path: FilePath): string {
  return path.toString().replace(/^\/*/, "/");
}
