import { posix } from "node:path";
import { type FileStat, hasErrno, O_PATH, OpenFile, openInRoot, RootedDirectory } from "@buildkit-ts/sys";
import { copyUpDirectory } from "./copy-up-directory.ts";
import { encodeName, type OpenParent, TreeRoot } from "./tree-root.ts";

const O_DIRECTORY = 0o200000;

/**
 * The tree that an overlay shows of a layer and what lies below it, written to without being mounted: so the layer can
 * hold links to files that lie outside of it.
 *
 * Only for actions that add to a layer that is new: nothing in it hides a directory, so that what it lacks is what is below.
 */
export class LayeredRoot extends TreeRoot {
  readonly #below: RootedDirectory;

  /** @param layer The layer's own directory. @param below A view of what lies below. */
  constructor(layer: string, below: string) {
    super(layer);
    this.#below = RootedDirectory.open(below);
  }

  override findLstat(path: string): FileStat | undefined {
    const own = super.findLstat(path);
    if (own !== undefined) return own;
    try {
      return this.#below.lstat(encodeName(path));
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  override lstat(path: string): FileStat {
    return this.findLstat(path) ?? super.lstat(path);
  }

  protected override readLink(path: string): string {
    return super.findLstat(path) === undefined ? this.readLinkIn(this.#below, path) : super.readLink(path);
  }

  /** As the overlay does before it writes, makes the directory in the layer. */
  override openParent(path: string): OpenParent {
    const directory = posix.dirname(path);
    const names = directory.split("/").filter((name) => name !== "");
    for (let depth = 1; depth <= names.length; depth++) this.#copyUp(`/${names.slice(0, depth).join("/")}`);
    const own = super.openParent(path);
    const below = this.#openBelow(directory);
    return {
      ...own,
      ...(below !== undefined && { below: below.fd }),
      [Symbol.dispose]: () => {
        own[Symbol.dispose]();
        below?.[Symbol.dispose]();
      },
    };
  }

  #copyUp(path: string): void {
    if (super.findLstat(path) !== undefined) return;
    using below = this.#openBelow(posix.dirname(path));
    if (below === undefined) return;
    using parent = super.openParent(path);
    copyUpDirectory({ fd: below.fd, path: parent.path }, parent);
  }

  #openBelow(path: string): OpenFile | undefined {
    try {
      return new OpenFile(openInRoot(this.#below.fd, encodeName(path), { flags: O_PATH | O_DIRECTORY }));
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
      throw error;
    }
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#below[Symbol.dispose]();
  }
}
