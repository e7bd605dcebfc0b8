import { posix } from "node:path";
import { Glob } from "./glob.ts";

/** The shortest equal path by text alone, without a trailing slash; `.` for nothing (Go's `path.Clean`). */
export function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

/** Go's `filepath.Match`, for many paths. @throws {BuildError} `invalid_argument`, for a malformed pattern. */
export function compileFileMatch(pattern: string): (path: string) => boolean {
  const glob = Glob.parse(pattern, false);
  return (path) => glob.matches(path);
}

const parsed = new Map<string, Glob>();
const maxParsed = 256;

/**
 * Whether the whole path matches the shell pattern (Go's `path.Match`): `*` and `?` stay within one path element.
 *
 * @throws {BuildError} `invalid_argument`, for a malformed pattern.
 */
export function matchPath(pattern: string, path: string): boolean {
  let glob = parsed.get(pattern);
  if (glob === undefined) {
    glob = Glob.parse(pattern, false);
    if (parsed.size >= maxParsed) parsed.clear();
    parsed.set(pattern, glob);
  }
  return glob.matches(path);
}

/** The leading path elements without wildcards, and the others: `/a` and `b?` of `/a/b?`. An empty path is the root. */
export function splitWildcards(path: string): { readonly prefix: string; readonly pattern: string } {
  const parts = (path === "" ? "" : cleanPath(path)).split("/");
  const first = parts.findIndex(hasWildcards);
  const cut = first < 0 ? parts.length : first;
  return { prefix: joinParts(parts.slice(0, cut)), pattern: joinParts(parts.slice(cut)) };
}

function joinParts(parts: readonly string[]): string {
  return parts.length === 0 ? "" : cleanPath(parts.map((part) => (part === "" ? "/" : part)).join("/"));
}

function hasWildcards(name: string): boolean {
  for (let index = 0; index < name.length; index++) {
    const character = name.charAt(index);
    if (character === "\\") index += 1;
    else if (character === "*" || character === "?" || character === "[") return true;
  }
  return false;
}
