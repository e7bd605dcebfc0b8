import { lstatSync } from "node:fs";
import { join, posix } from "node:path";
import { type Mount, unescapeOverlayPath } from "@buildkit-ts/mount";
import {
  AT_REMOVEDIR,
  type FileStat,
  findXattr,
  RootedDirectory,
  readNames,
  unlinkAt,
  utimesOf,
} from "@buildkit-ts/sys";

/** A directory that is not in the upper tree yet, and what the lower ones say of it. */
interface CopiedDirectory {
  readonly path: string;
  readonly stat: FileStat;
}

/**
 * A file that is about to be copied into an overlay's upper tree, with the directories above it, only since something is written
 * to it for a while: afterwards both trees say the same of it, and the layer that is made of the upper one shall not.
 */
export class CopiedUpFile {
  readonly #upper: string;
  readonly #path: string;
  readonly #stat: FileStat;
  /** Deepest first. */
  readonly #directories: readonly CopiedDirectory[];

  private constructor(
    upper: string,
    file: { readonly path: string; readonly stat: FileStat; readonly directories: readonly CopiedDirectory[] },
  ) {
    this.#upper = upper;
    this.#path = file.path;
    this.#stat = file.stat;
    this.#directories = file.directories;
  }

  /**
   * Looks, before the file is written to.
   *
   * @param options.path In the mounted tree, without symbolic links.
   * @returns Undefined, where there is no overlay, or the upper tree has the file already.
   */
  static find(
    mounts: readonly Mount[],
    options: { readonly rootPath: string; readonly path: string },
  ): CopiedUpFile | undefined {
    const upper = upperOf(mounts);
    const { rootPath, path } = options;
    if (upper === undefined || existsIn(upper, path)) return undefined;
    using root = RootedDirectory.open(rootPath);
    const directories: CopiedDirectory[] = [];
    for (let parent = posix.dirname(path); parent !== "/" && !existsIn(upper, parent); parent = posix.dirname(parent)) {
      directories.push({ path: parent, stat: root.lstat(parent) });
    }
    return new CopiedUpFile(upper, { path, stat: root.lstat(path), directories });
  }

  /** Removes what is there for nothing but the file, when the tree is mounted no more and the file is what it was. */
  remove(): void {
    using upper = RootedDirectory.open(this.#upper);
    if (!isSame(findStat(upper, this.#path), this.#stat)) return;
    // All of them before any is changed: what is removed from a directory changes its time.
    const unchanged = this.#directories.filter(
      ({ path, stat }) => isSame(findStat(upper, path), stat) && !isOpaque(upper, path),
    );
    removeFrom(upper, this.#path, 0);
    for (const { path } of unchanged) {
      using directory = upper.openDirectory(path);
      if (readNames(directory.fd).length > 0) return;
      removeFrom(upper, path, AT_REMOVEDIR);
    }
  }
}

function upperOf(mounts: readonly Mount[]): string | undefined {
  const [mount] = mounts;
  if (mount?.type !== "overlay" || mounts.length !== 1) return undefined;
  const option = mount.options.find((text) => text.startsWith("upperdir="));
  return option === undefined ? undefined : unescapeOverlayPath(option.slice("upperdir=".length));
}

/** Only for the tree as it is before the step: nobody has put links into it then. */
function existsIn(upper: string, path: string): boolean {
  return lstatSync(join(upper, path), { throwIfNoEntry: false }) !== undefined;
}

function findStat(root: RootedDirectory, path: string): FileStat | undefined {
  try {
    return root.lstat(path);
  } catch {
    // Whatever the step made of it, it is no longer what was there before.
    return undefined;
  }
}

function isSame(a: FileStat | undefined, b: FileStat): boolean {
  return (
    a !== undefined &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.modificationNs === b.modificationNs &&
    (a.isDirectory() || a.sizeBytes === b.sizeBytes)
  );
}

/** An opaque directory hides what is below: it says something although it is empty. */
function isOpaque(root: RootedDirectory, path: string): boolean {
  using directory = root.openDirectory(path);
  return ["trusted.overlay.opaque", "user.overlay.opaque"].some((name) => findXattr(directory.fd, name) !== undefined);
}

/** Leaves the time of the directory as it was. */
function removeFrom(root: RootedDirectory, path: string, flags: number): void {
  using parent = root.openDirectory(posix.dirname(path));
  const { accessNs, modificationNs } = parent.stat();
  unlinkAt({ fd: parent.fd, path: posix.basename(path) }, flags);
  utimesOf(parent.fd, { accessNs, modificationNs });
}
