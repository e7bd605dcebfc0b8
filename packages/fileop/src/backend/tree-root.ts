import { posix } from "node:path";
import {
  type At,
  type FilePath,
  type FileStat,
  hasErrno,
  O_PATH,
  OpenFile,
  openInRoot,
  RootedDirectory,
  SystemError,
} from "@buildkit-ts/sys";
import { decodeBytes, encodeBytes } from "@buildkit-ts/tar";
import { withPath } from "./path-error.ts";

const maxLinks = 255;
const ELOOP = 40;
const O_DIRECTORY = 0o200000;

/** A name in an open directory, which the holder closes; `below` is the same directory as the layers below have it. */
export type OpenParent = At & Disposable & { readonly below?: number };

/**
 * A mounted tree. Paths are resolved in two steps: {@linkcode TreeRoot.resolve} follows symbolic links as far as a path
 * exists and keeps the rest, which the kernel alone cannot; the result is then opened beneath the root by the kernel, so that
 * a tree that changes meanwhile can give errors but never a way out.
 *
 * Paths are strings; bytes that are no UTF-8 are lone surrogates in them, as in the tar codec.
 */
export class TreeRoot implements Disposable {
  readonly #directory: RootedDirectory;

  constructor(path: string) {
    this.#directory = RootedDirectory.open(path);
  }

  get fd(): number {
    return this.#directory.fd;
  }

  get directory(): RootedDirectory {
    return this.#directory;
  }

  /** The path without symbolic links. What does not exist is kept as it is. */
  resolve(path: string, options: { readonly followLast: boolean }): string {
    const pending = posix
      .join("/", path)
      .split("/")
      .filter((part) => part !== "")
      .toReversed();
    let resolved = "/";
    let links = 0;
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === "..") {
        resolved = posix.dirname(resolved);
        continue;
      }
      const next = posix.join(resolved, part);
      const target = pending.length === 0 && !options.followLast ? undefined : this.#findLink(next);
      if (target === undefined) {
        resolved = next;
        continue;
      }
      links += 1;
      if (links > maxLinks) throw withPathOf(path, new SystemError(ELOOP, "readlink", path));
      if (target.startsWith("/")) resolved = "/";
      pending.push(
        ...target
          .split("/")
          .filter((name) => name !== "" && name !== ".")
          .toReversed(),
      );
    }
    return resolved;
  }

  #findLink(path: string): string | undefined {
    return this.findLstat(path)?.isSymbolicLink() === true ? this.readLink(path) : undefined;
  }

  /** What a symbolic link says. */
  protected readLink(path: string): string {
    return this.readLinkIn(this.#directory, path);
  }

  protected readLinkIn(directory: RootedDirectory, path: string): string {
    return decodeName(directory.readlink(encodeName(path)));
  }

  lstat(path: string): FileStat {
    return withPath("lstat", path, () => this.#directory.lstat(encodeName(path)));
  }

  findLstat(path: string): FileStat | undefined {
    try {
      return this.#directory.lstat(encodeName(path));
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      return withPath("lstat", path, () => {
        throw error;
      });
    }
  }

  /** The directory that holds a resolved path, and its name there. The root itself is `.` in itself. */
  openParent(path: string): OpenParent {
    const directory = new OpenFile(
      openInRoot(this.fd, encodeName(posix.dirname(path)), { flags: O_PATH | O_DIRECTORY }),
    );
    const name = posix.basename(path);
    return {
      fd: directory.fd,
      path: name === "" ? "." : encodeName(name),
      [Symbol.dispose]: () => directory[Symbol.dispose](),
    };
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

/** A name as the kernel takes it. */
export function encodeName(name: string): FilePath {
  return name.isWellFormed() ? name : encodeBytes(name);
}

/** A name as paths hold it. */
export function decodeName(name: FilePath): string {
  return typeof name === "string" ? name : decodeBytes(name);
}

function withPathOf(path: string, error: SystemError): unknown {
  try {
    return withPath("lstat", path, () => {
      throw error;
    });
  } catch (worded) {
    return worded;
  }
}

/** As {@linkcode posix.join} with `/`, but a slash or `/.` at the end of a path, which a copy gives a meaning to, stays. */
export function cleanActionPath(path: string): string {
  const joined = posix.join("/", path);
  const clean = joined.length > 1 && joined.endsWith("/") ? joined.slice(0, -1) : joined;
  if (path.endsWith("/.")) return clean === "/" ? "/." : `${clean}/.`;
  return path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}
