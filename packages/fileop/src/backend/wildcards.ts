import { posix } from "node:path";
import { compileFileMatch } from "@buildkit-ts/patterns";
import { readNames } from "@buildkit-ts/sys";
import { withPath } from "./path-error.ts";
import { decodeName, encodeName, type TreeRoot } from "./tree-root.ts";

/**
 * The paths that a path with wildcards stands for, sorted by directory; a path without wildcards stands for itself, whether
 * it is there or not. Symbolic links are followed in what precedes the first wildcard only.
 *
 * @throws {BuildError} `not_found`, if what precedes the first wildcard is not there.
 */
export function expandWildcards(root: TreeRoot, path: string, options: { readonly followLast: boolean }): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const first = parts.findIndex((part) => containsWildcard(part));
  if (first < 0) return [`/${parts.join("/")}`];
  const base = root.resolve(`/${parts.slice(0, first).join("/")}`, options);
  const pattern = parts.slice(first);
  const whole = findMatcher(pattern.join("/"));
  // A malformed pattern matches nothing.
  if (whole === undefined) return [];
  const matches: string[] = [];
  const isDirectory = root.lstat(base).isDirectory();
  if (isDirectory) collect(root, { base, below: "", parts: pattern.map((part) => findMatcher(part)), whole, matches });
  return matches;
}

interface Search {
  readonly base: string;
  readonly below: string;
  /** One for each level; undefined where a level alone is no pattern. */
  readonly parts: readonly (((name: string) => boolean) | undefined)[];
  readonly whole: (path: string) => boolean;
  readonly matches: string[];
}

function collect(root: TreeRoot, search: Search): void {
  const [part, ...deeper] = search.parts;
  const directory = posix.join(search.base, search.below);
  const names = withPath("open", directory, () => {
    using opened = root.directory.openDirectory(encodeName(directory));
    return readNames(opened.fd).map((name) => decodeName(name));
  });
  for (const name of names) {
    const below = search.below === "" ? name : `${search.below}/${name}`;
    if (search.whole(below)) search.matches.push(posix.join(search.base, below));
    else if (deeper.length > 0 && part?.(name) !== false && root.lstat(posix.join(search.base, below)).isDirectory()) {
      collect(root, { ...search, below, parts: deeper });
    }
  }
}

function findMatcher(pattern: string): ((path: string) => boolean) | undefined {
  try {
    return compileFileMatch(pattern);
  } catch {
    return undefined;
  }
}

function containsWildcard(part: string): boolean {
  return /(?:^|[^\\])(?:\\\\)*[*?[]/.test(part);
}
