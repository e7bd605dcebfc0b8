import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { type At, hasErrno, openAt } from "@buildkit-ts/sys";
import { pathBytes } from "./path-text.ts";

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** More descriptors than a deep tree has levels, far fewer than a process may hold. */
const capacity = 128;

/**
 * Open directories below a root, so that each name is resolved by descriptor: no symbolic link on the way is followed,
 * whoever put it there.
 */
export class DirectoryCache implements Disposable {
  readonly #rootFd: number;
  readonly #open = new Map<string, number>();
  /** Entries come directory by directory. */
  #last: { readonly path: string; readonly fd: number } | undefined;

  /** @param root A trusted path. */
  constructor(root: string) {
    this.#rootFd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** Whether the root is the directory at a path now: it may have been moved there since it was opened. */
  isOf(path: string): boolean {
    const [own, other] = [fstatSync(this.#rootFd, { bigint: true }), statSync(path, { bigint: true })];
    return own.ino === other.ino && own.dev === other.dev;
  }

  /** The place of a relative path, whose parents must be real directories. */
  at(path: string): At {
    const slash = path.lastIndexOf("/");
    return slash < 0
      ? { fd: this.#rootFd, path: pathBytes(path) }
      : { fd: this.directory(path.slice(0, slash)), path: pathBytes(path.slice(slash + 1)) };
  }

  /** A descriptor of a directory, valid until the next call. */
  directory(path: string): number {
    if (path === "") return this.#rootFd;
    if (this.#last?.path === path) return this.#last.fd;
    const fd = this.#find(path);
    this.#last = { path, fd };
    return fd;
  }

  #find(path: string): number {
    const known = this.#open.get(path);
    if (known !== undefined) {
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    const fd = openAt(this.at(path), directoryFlags);
    this.#evict();
    this.#open.set(path, fd);
    return fd;
  }

  /** The bytes of a regular file; undefined where there is none. */
  readFile(path: string): Buffer | undefined {
    let fd: number;
    try {
      fd = openAt(this.at(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ELOOP")) return undefined;
      throw error;
    }
    try {
      return fstatSync(fd).isFile() ? readFileSync(fd) : undefined;
    } finally {
      closeSync(fd);
    }
  }

  /** Forgets a directory that is about to be removed, and what is in it. */
  forget(path: string): void {
    const prefix = `${path}/`;
    this.#last = undefined;
    for (const [known, fd] of this.#open) {
      if (known !== path && !known.startsWith(prefix)) continue;
      this.#open.delete(known);
      closeSync(fd);
    }
  }

  #evict(): void {
    if (this.#open.size < capacity) return;
    const oldest = this.#open.entries().next().value;
    if (oldest === undefined) return;
    this.#open.delete(oldest[0]);
    closeSync(oldest[1]);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
    closeSync(this.#rootFd);
  }
}
