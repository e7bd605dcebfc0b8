import { BuildError } from "@buildkit-ts/errdefs";
import { encodeBytes } from "@buildkit-ts/tar";

/** Longest path and name that are accepted; Linux's own limits. */
const maxPathBytes = 4096;
const maxNameBytes = 255;

/**
 * The order in which file sync sends paths: bytes compared, with the slash before all others, so that a directory's
 * content follows it at once.
 */
export function comparePaths(left: string, right: string): number {
  if (left === right) return 0;
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a === b) continue;
    if (a === 0x2f) return -1;
    if (b === 0x2f) return 1;
    if (a < 0xd800 && b < 0xd800) return a - b;
    // UTF-16 orders these otherwise than UTF-8, and some stand for bytes that are neither.
    const start = index > 0 && isHighSurrogate(left.charCodeAt(index - 1)) ? index - 1 : index;
    return Buffer.compare(encodeBytes(left.slice(start)), encodeBytes(right.slice(start)));
  }
  return left.length - right.length;
}

/** Orders names within a directory by their bytes. */
export function compareNames(left: string, right: string): number {
  return comparePaths(left, right);
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** What a sender says of a path. */
interface CheckedEntry {
  readonly path: string;
  readonly isDirectory: boolean;
  /** Symbolic links get no further names. */
  readonly isSymlink?: boolean;
  readonly hardLink: string | undefined;
}

/**
 * Checks what a sender says about its tree: clean relative paths in order, each inside a directory that came before,
 * and hard links only to files that came before.
 */
export class PathValidator {
  readonly #parents: { readonly path: string; last: string }[] = [{ path: "", last: "" }];
  /** In their order, which is cheaper to keep than a set: few trees have links. */
  readonly #files: string[] = [];

  /** @throws {BuildError} `invalid_argument` */
  check(entry: CheckedEntry): void {
    const { path } = entry;
    checkPath(path);
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? "" : path.slice(0, slash);
    const name = path.slice(slash + 1);
    while (this.#parents.length > 1 && this.#parents.at(-1)?.path !== parent) this.#parents.pop();
    const directory = this.#parents.at(-1);
    if (directory === undefined || directory.path !== parent || compareNames(directory.last, name) >= 0) {
      const last = directory === undefined ? "" : [directory.path, directory.last].filter(Boolean).join("/");
      throw invalid(`changes out of order: ${JSON.stringify(path)} ${JSON.stringify(last)}`);
    }
    directory.last = name;
    if (entry.isDirectory) this.#parents.push({ path, last: "" });
    if (entry.hardLink === undefined) {
      if (!entry.isDirectory && entry.isSymlink !== true) this.#files.push(path);
    } else if (!this.#hasFile(entry.hardLink)) {
      throw invalid(`invalid link ${path} to unknown path: ${JSON.stringify(entry.hardLink)}`);
    }
  }

  #hasFile(path: string): boolean {
    let low = 0;
    for (let high = this.#files.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (comparePaths(this.#files[middle] ?? "", path) < 0) low = middle + 1;
      else high = middle;
    }
    return this.#files[low] === path;
  }
}

const uncleanPart = /(?:^|\/)\.{0,2}(?:\/|$)/;

function checkPath(path: string): void {
  if (path.startsWith("/")) throw invalid(`absolute path ${path}: invalid argument`);
  if (path === ".." || path.startsWith("../")) throw invalid(`escape check ${path}: invalid argument`);
  if (uncleanPart.test(path) || path.includes("\0")) throw invalid(`unclean path ${path}: invalid argument`);
  // Three bytes are the most that one unit can become.
  if (path.length * 3 <= maxNameBytes) return;
  const bytes = Buffer.byteLength(path);
  if (bytes > maxPathBytes) throw invalid(`path of ${bytes} bytes: file name too long`);
  for (const part of path.split("/")) {
    if (Buffer.byteLength(part) > maxNameBytes && encodeBytes(part).length > maxNameBytes)
      throw invalid(`name of ${encodeBytes(part).length} bytes in path ${path}: file name too long`);
  }
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
