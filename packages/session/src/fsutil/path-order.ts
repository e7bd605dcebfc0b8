import { BuildError } from "@buildkit-ts/errdefs";

/** Longest path that is accepted; Linux's own limit. */
const maxPathBytes = 4096;

/**
 * The order in which file sync sends paths: bytes compared, with the slash before all others, so that a directory's
 * content follows it at once.
 */
export function comparePaths(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a === b) continue;
    if (a === 0x2f) return -1;
    if (b === 0x2f) return 1;
    return orderOf(a) - orderOf(b);
  }
  return left.length - right.length;
}

/** Orders names within a directory by their bytes. */
export function compareNames(left: string, right: string): number {
  return left === right ? 0 : comparePaths(left, right);
}

/** Moves surrogates behind all other units, which makes the order of UTF-16 units that of UTF-8 bytes. */
function orderOf(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit > 0xdfff ? unit - 0x800 : unit + 0x2000;
}

/**
 * Checks what a sender says about its tree: clean relative paths in order, each inside a directory that came before,
 * and hard links only to files that came before.
 */
export class PathValidator {
  readonly #parents: { readonly path: string; last: string }[] = [{ path: "", last: "" }];
  readonly #files = new Set<string>();

  /** @throws {BuildError} `invalid_argument` */
  check(entry: { readonly path: string; readonly isDirectory: boolean; readonly hardLink: string | undefined }): void {
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
      if (!entry.isDirectory) this.#files.add(path);
    } else if (!this.#files.has(entry.hardLink)) {
      throw invalid(`invalid link ${path} to unknown path: ${JSON.stringify(entry.hardLink)}`);
    }
  }
}

function checkPath(path: string): void {
  if (path.startsWith("/")) throw invalid(`absolute path ${path}: invalid argument`);
  if (path === ".." || path.startsWith("../")) throw invalid(`escape check ${path}: invalid argument`);
  const clean = path.length > 0 && path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  if (!clean || path.includes("\0")) throw invalid(`unclean path ${path}: invalid argument`);
  if (path.length > maxPathBytes || Buffer.byteLength(path) > maxPathBytes) {
    throw invalid(`path of ${Buffer.byteLength(path)} bytes: file name too long`);
  }
}

function invalid(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
