import { closeSync } from "node:fs";
import {
  type AbortCheck,
  AT_FDCWD,
  type At,
  applyAttributesAt,
  attributesOf,
  copyEntryAt,
  copyXattrs,
  type FilePath,
  type FileStat,
  findLstatAt,
  findXattr,
  hasErrno,
  linkAt,
  lstatAt,
  mkdirAt,
  openDirectoryAt,
  pathOfAt,
  readNames,
  removeTreeAt,
  setXattr,
} from "@buildkit-ts/sys";

export interface LinkLayersOptions {
  /** Upper directories of overlay snapshots, lowest first. */
  readonly layers: readonly string[];
  /** An empty directory: the upper directory of the merged snapshot. */
  readonly target: string;
  /** Overlay keeps its marks in `user.` attributes, as it must without privileges. */
  readonly userXattr: boolean;
}

/**
 * Lays upper directories one over the other into a new one. Files are hard links to those of the layers, so that nothing is
 * copied; directories are made anew. Whiteouts and opaque marks stay, since what they hide may be below the result too.
 */
export function linkLayers(options: LinkLayersOptions, checkAborted: AbortCheck): void {
  const linker = new LayerLinker(options.userXattr, checkAborted);
  for (const layer of options.layers) linker.addLayer(layer, options.target);
}

/** Attributes of overlay itself, which describe a place in one stack of layers. */
function isOverlayXattr(name: string): boolean {
  return name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.");
}

class LayerLinker {
  readonly #opaqueName: string;
  readonly #checkAborted: AbortCheck;
  readonly #layerByInode = new Map<bigint, number>();
  #layer = 0;

  constructor(userXattr: boolean, checkAborted: AbortCheck) {
    this.#opaqueName = userXattr ? "user.overlay.opaque" : "trusted.overlay.opaque";
    this.#checkAborted = checkAborted;
  }

  addLayer(layer: string, target: string): void {
    this.#layer += 1;
    this.#mergeChildren({ fd: AT_FDCWD, path: layer }, { fd: AT_FDCWD, path: target });
  }

  #mergeChildren(from: At, to: At): void {
    const source = openDirectoryAt(from);
    let target: number | undefined;
    try {
      target = openDirectoryAt(to);
      for (const name of readNames(source)) this.#mergeEntry(source, target, name);
    } finally {
      closeSync(source);
      if (target !== undefined) closeSync(target);
    }
    const attributes = attributesOf(lstatAt(from));
    copyXattrs(pathOfAt(from), pathOfAt(to), (name) => !isOverlayXattr(name));
    applyAttributesAt(to, { attributes, isSymbolicLink: false });
  }

  #mergeEntry(source: number, target: number, name: FilePath): void {
    this.#checkAborted();
    const from = { fd: source, path: name };
    const to = { fd: target, path: name };
    const stat = lstatAt(from);
    const existing = findLstatAt(to);
    if (!stat.isDirectory()) {
      if (existing !== undefined) removeTreeAt(to, this.#checkAborted);
      this.#linkFile({ ...from, stat }, to);
      return;
    }
    const isOpaque = this.#isOpaque(from);
    const replaces = existing !== undefined && (isOpaque || !existing.isDirectory());
    if (replaces) removeTreeAt(to, this.#checkAborted);
    if (replaces || existing === undefined) {
      mkdirAt(to, 0o700);
      // What was replaced, even a whiteout, hid a directory that may be below: it must stay hidden.
      if (isOpaque || replaces) setXattr(pathOfAt(to), this.#opaqueName, Buffer.from("y"));
    }
    this.#mergeChildren(from, to);
  }

  #isOpaque(directory: At): boolean {
    return findXattr(pathOfAt(directory), this.#opaqueName)?.toString() === "y";
  }

  #linkFile(from: At & { readonly stat: FileStat }, to: At): void {
    const { stat } = from;
    // One file shared by two layers is two files for those who made the layers; a link would make it one.
    const earlier = stat.linkCount > 1 && !stat.isWhiteout() ? this.#layerByInode.get(stat.inode) : undefined;
    if (earlier === undefined || earlier === this.#layer) {
      try {
        linkAt(from, to);
        this.#layerByInode.set(stat.inode, this.#layer);
        return;
      } catch (error) {
        if (!hasErrno(error, "EMLINK", "EXDEV", "EPERM")) throw error;
      }
    }
    copyEntryAt(from, to, { attributes: attributesOf(stat), checkAborted: this.#checkAborted });
  }
}
