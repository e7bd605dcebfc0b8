import { closeSync } from "node:fs";
import {
  type AbortCheck,
  AT_FDCWD,
  type At,
  applyAttributesAt,
  attributesOf,
  copyXattrs,
  type FilePath,
  findLstatAt,
  hasErrno,
  joinPath,
  linkAt,
  lstatAt,
  mkdirAt,
  mknodAt,
  openDirectoryAt,
  pathOfAt,
  removeTreeAt,
  S_IFCHR,
  setXattr,
} from "@buildkit-ts/sys";
import { TreeCopier } from "./copy-tree.ts";
import { type Entry, isOpaque, isOverlayXattr, StackDirectory, type TreeForm } from "./stack-directory.ts";

/** A directory of the result: where it is written to, and what shows through from below. */
export interface Place {
  readonly fd: number;
  /** From the root of the result. */
  readonly path: FilePath;
  readonly base: StackDirectory;
}

/**
 * The tree that others are merged into. Of a layered form it is the upper directory of an overlay: it links files instead of
 * copying them, and says by whiteouts and opaque marks what is gone of the base, but only where the base has something.
 */
export class MergeTarget implements Disposable {
  readonly #form: TreeForm;
  readonly #checkAborted: AbortCheck;
  readonly #stepByInode = new Map<bigint, number>();
  readonly #copier: TreeCopier;
  readonly root: Place;
  #step = 0;

  /** @param path An existing directory. @param base What is below it, highest first. */
  constructor(
    path: string,
    options: {
      readonly base: readonly string[];
      readonly form: TreeForm;
      readonly inodesBelow?: BigUint64Array;
      readonly checkAborted: AbortCheck;
    },
  ) {
    this.#form = options.form;
    this.#checkAborted = options.checkAborted;
    const fd = openDirectoryAt({ fd: AT_FDCWD, path });
    this.root = { fd, path: "", base: StackDirectory.open(options.base, options.form) };
    this.#copier = new TreeCopier(fd, options.checkAborted);
    for (const inode of options.inodesBelow ?? []) this.#stepByInode.set(inode, 0);
  }

  /** What comes now is of another layer than what came before. */
  beginStep(): void {
    this.#step += 1;
    this.#copier.forgetLinks();
  }

  /** Makes a name be gone, whatever it was. */
  remove(place: Place, name: FilePath): void {
    this.#checkAborted();
    const at = { fd: place.fd, path: name };
    removeTreeAt(at, this.#checkAborted);
    if (this.#form.kind === "layers" && place.base.find(name) !== undefined)
      mknodAt(at, S_IFCHR, { major: 0, minor: 0 });
  }

  /** Puts an entry that is no directory in the place of whatever had its name. */
  put(place: Place, from: Entry): void {
    this.#checkAborted();
    const to = { fd: place.fd, path: from.path };
    if (findLstatAt(to) !== undefined) removeTreeAt(to, this.#checkAborted);
    if (!this.#link(from, to)) this.#copier.copy(from, to, joinPath(place.path, from.path));
  }

  #link(from: Entry, to: At): boolean {
    const { stat } = from;
    // A pipe or a socket that two trees share would connect them.
    if (this.#form.kind === "plain" || !(stat.isFile() || stat.isSymbolicLink())) return false;
    // One file shared by two layers is two files for those who made the layers; a link would make it one.
    const earlier = stat.linkCount > 1 ? this.#stepByInode.get(stat.inode) : undefined;
    if (earlier !== undefined && earlier !== this.#step) return false;
    try {
      linkAt(from, to);
    } catch (error) {
      if (hasErrno(error, "EMLINK", "EXDEV", "EPERM")) return false;
      throw error;
    }
    this.#stepByInode.set(stat.inode, this.#step);
    return true;
  }

  /** The directory in the place of another one, made when something is first done in it. */
  directory(from: Entry, place: () => Place): { readonly enter: () => Place; readonly leave: () => void } {
    let inside: Place | undefined;
    return {
      enter: () => (inside ??= this.#enter(place(), from.path)),
      leave: () => {
        if (inside !== undefined) this.#leave(inside, { fd: place().fd, path: from.path }, from);
      },
    };
  }

  /** Makes sure that a name is a directory, which keeps what it holds. */
  #enter(place: Place, name: FilePath): Place {
    this.#checkAborted();
    const at = { fd: place.fd, path: name };
    const existing = findLstatAt(at);
    using below = place.base.child(name);
    let isBaseHidden = existing?.isDirectory() === true && isOpaque(at, this.#form);
    if (existing?.isDirectory() !== true) {
      if (existing !== undefined) removeTreeAt(at);
      mkdirAt(at, 0o700);
      // What was replaced, even a whiteout, hid the directory below: it must stay hidden.
      isBaseHidden = existing !== undefined && !below.isEmpty;
      if (isBaseHidden && this.#form.kind === "layers")
        setXattr(pathOfAt(at), this.#form.opaqueXattr, Buffer.from("y"));
    }
    const base = isBaseHidden ? StackDirectory.empty(this.#form) : place.base.child(name);
    return { fd: openDirectoryAt(at), path: joinPath(place.path, name), base };
  }

  /** Gives a directory the attributes of another, after all that is done in it, which changes its times. */
  #leave(place: Place, directory: At, from: At): void {
    closeSync(place.fd);
    place.base[Symbol.dispose]();
    this.setAttributes(directory, from);
  }

  setAttributes(directory: At, from: At): void {
    // Overlay's own attributes describe a place in one stack of layers.
    copyXattrs(pathOfAt(from), pathOfAt(directory), (name) => !isOverlayXattr(name));
    applyAttributesAt(directory, { attributes: attributesOf(lstatAt(from)), isSymbolicLink: false });
  }

  [Symbol.dispose](): void {
    closeSync(this.root.fd);
    this.root.base[Symbol.dispose]();
  }
}
