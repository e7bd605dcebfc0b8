import { constants } from "node:fs";
import {
  type At,
  chmodAt,
  chownAt,
  type FileStat,
  findLstatAt,
  findXattr,
  hasErrno,
  listXattrs,
  mkdirAt,
  O_PATH,
  type OpenFile,
  pathOfAt,
  RootedDirectory,
  readlinkAt,
  setXattr,
  utimesAt,
} from "@buildkit-ts/sys";
import { splitTarName } from "@buildkit-ts/tar";
import { joinPath, nameBytes, nameText } from "../make/tree-change.ts";

/** An open directory of the target. */
export interface TargetDirectory {
  readonly fd: number;
  /** Names the directory itself, whatever paths lead to it. */
  readonly id: string;
}

interface CachedDirectory extends TargetDirectory {
  readonly file: OpenFile;
}

const maxOpen = 64;
const maxLinks = 255;

/**
 * The directories of the tree that a layer is unpacked into. Symbolic links on the way are followed as if the target
 * were `/`; directories that are missing are made, with the attributes that they have in `parents`, highest first.
 */
export class TargetTree implements Disposable {
  readonly #root: RootedDirectory;
  readonly #parents: readonly RootedDirectory[];
  readonly #open = new Map<string, CachedDirectory>();
  readonly #resources: DisposableStack;
  /** Directories that were made since something is in them. */
  readonly implied: Set<string> = new Set();
  #isStale = false;

  constructor(directory: string, parents: readonly string[]) {
    using resources = new DisposableStack();
    this.#root = resources.use(RootedDirectory.open(directory));
    this.#parents = parents.map((parent) => resources.use(RootedDirectory.open(parent)));
    this.#resources = resources.move();
  }

  /** Where a path's last component lies. The descriptor is only valid until the next call. */
  locate(parts: readonly string[]): { readonly directory: TargetDirectory; readonly at: At } {
    const directory = this.directory(parts.slice(0, -1));
    return { directory, at: { fd: directory.fd, path: nameBytes(parts.at(-1) ?? ".") } };
  }

  directory(parts: readonly string[], links = { followed: 0 }): TargetDirectory {
    if (this.#isStale) this.#closeAll();
    const path = parts.join("/");
    const cached = this.#open.get(path);
    if (cached !== undefined) return cached;
    let file: OpenFile;
    try {
      file = this.#root.open(nameBytes(path), O_PATH | constants.O_DIRECTORY);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
      this.#create(parts, links, error);
      file = this.#root.open(nameBytes(path), O_PATH | constants.O_DIRECTORY);
    }
    return this.#keep(path, file);
  }

  /** Must be called after names were removed: paths may mean something else now. Descriptors stay valid until the next call. */
  forget(): void {
    this.#isStale = true;
  }

  [Symbol.dispose](): void {
    this.#closeAll();
    this.#resources[Symbol.dispose]();
  }

  #closeAll(): void {
    for (const { file } of this.#open.values()) file[Symbol.dispose]();
    this.#open.clear();
    this.#isStale = false;
  }

  #keep(path: string, file: OpenFile): TargetDirectory {
    const stat = file.stat();
    const [oldest] = this.#open;
    if (this.#open.size >= maxOpen && oldest !== undefined) {
      oldest[1].file[Symbol.dispose]();
      this.#open.delete(oldest[0]);
    }
    const directory = { file, fd: file.fd, id: `${stat.device.major}:${stat.device.minor}:${stat.inode}` };
    this.#open.set(path, directory);
    return directory;
  }

  #create(parts: readonly string[], links: { followed: number }, cause: unknown): void {
    const name = parts.at(-1);
    if (name === undefined) throw asError(cause);
    const before = parts.slice(0, -1);
    const at = { fd: this.directory(before, links).fd, path: nameBytes(name) };
    const existing = findLstatAt(at);
    if (existing === undefined) {
      mkdirAt(at, 0o755);
      chmodAt(at, 0o755);
      const path = parts.join("/");
      this.implied.add(path);
      this.#copyAttributes(at, path);
      return;
    }
    // A symbolic link that leads nowhere: what it names is made. Anything else that is there is an error.
    links.followed += 1;
    if (!existing.isSymbolicLink() || links.followed > maxLinks) throw asError(cause);
    const target = nameText(readlinkAt(at));
    this.directory(splitTarName(target.startsWith("/") ? target : joinPath(before.join("/"), target)), links);
  }

  /** Gives a directory the attributes that it has in `parents`; what is no directory (any more) is left alone. */
  inherit(path: string): void {
    const parts = path.split("/");
    const stat = findIn(this.#root, parts.slice(0, -1).join("/") || ".");
    if (stat?.isDirectory() !== true) return;
    const { at } = this.locate(parts);
    if (findLstatAt(at)?.isDirectory() === true) this.#copyAttributes(at, path);
  }

  #copyAttributes(at: At, path: string): void {
    for (const parent of this.#parents) {
      const stat = findIn(parent, path);
      if (stat === undefined) continue;
      if (!stat.isDirectory()) return;
      chownAt(at, stat.uid, stat.gid);
      using source = parent.openDirectory(nameBytes(path));
      for (const name of listXattrs(source.fd)) {
        const value =
          name.startsWith("trusted.") || name.startsWith("user.overlay.") ? undefined : findXattr(source.fd, name);
        if (value !== undefined) setXattr(pathOfAt(at), name, value);
      }
      chmodAt(at, stat.mode & 0o7777);
      utimesAt(at, { accessNs: stat.accessNs, modificationNs: stat.modificationNs });
      return;
    }
  }
}

function findIn(root: RootedDirectory, path: string): FileStat | undefined {
  try {
    return root.stat(nameBytes(path));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}
