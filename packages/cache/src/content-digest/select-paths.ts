import { BuildError } from "@buildkit-ts/errdefs";
import { type MatchInfo, matchPath, PatternMatcher, splitWildcards } from "@buildkit-ts/patterns";
import { byteText, keyPath, utf8Text } from "./byte-text.ts";
import type { DigestTree, TreeNode } from "./digest-tree.ts";

/** What is asked of a tree. */
export interface ChecksumQuery {
  readonly path: string;
  readonly followLinks: boolean;
  readonly wildcard: boolean;
  readonly includePatterns: readonly string[];
  readonly excludePatterns: readonly string[];
  readonly requiredPaths: readonly string[];
}

/** An entry that counts for a filtered checksum. */
export interface SelectedPath {
  /** As the query would have it: below its own prefix, not below what links in the prefix lead to. */
  readonly path: string;
  /** Where it is in the tree. */
  readonly realPath: string;
  readonly node: TreeNode;
  /** Whether this is a directory's attributes; directories never count with what is in them here. */
  readonly isHeader: boolean;
  /** Whether a link is followed. */
  readonly followLinks: boolean;
}

/** Where an entry is for the query, and where it really is. */
type PathInTree = Pick<SelectedPath, "path" | "realPath">;

interface Candidate extends SelectedPath {
  isIncluded: boolean;
  readonly include: MatchInfo | undefined;
  readonly exclude: MatchInfo | undefined;
}

/** What of a tree a query with wildcards or patterns is about, in the order of bytes. The whole tree must be known. */
export function selectPaths(
  tree: DigestTree,
  query: ChecksumQuery,
): { readonly prefix: string; readonly paths: readonly SelectedPath[] } {
  const path = keyPath(byteText(query.path));
  const split = splitWildcards(utf8Text(path));
  let prefix = path;
  if (query.wildcard) prefix = split.prefix === "/" ? "" : byteText(split.prefix);
  // Links in the part without wildcards are followed, the last one only if something comes after it.
  const followLast = query.wildcard && split.pattern !== "";
  const { path: start, node } = tree.resolve(prefix, { followLast });
  const selection = new Selection(query, path);
  if (node !== undefined) selection.walk(node, { path: prefix, realPath: start });
  for (const required of query.requiredPaths)
    if (!selection.paths.some((selected) => utf8Text(selected.path).startsWith(required)))
      throw new BuildError("unknown", `${JSON.stringify(required)}: not found`);
  return { prefix, paths: selection.paths };
}

class Selection {
  readonly paths: Candidate[] = [];
  readonly #query: ChecksumQuery;
  readonly #path: string;
  readonly #include: PatternMatcher | undefined;
  readonly #exclude: PatternMatcher | undefined;
  readonly #skipsOwnHeader: boolean;
  #parents: Candidate[] = [];
  #lastMatched = "";

  constructor(query: ChecksumQuery, path: string) {
    this.#query = query;
    this.#path = path;
    this.#include = matcherOf(query.includePatterns, "includepatterns");
    this.#exclude = matcherOf(query.excludePatterns, "excludepatterns");
    this.#skipsOwnHeader = query.path.endsWith("/");
  }

  walk(node: TreeNode, at: PathInTree): void {
    if (node.kind !== "directory") {
      this.#visit(node, at, false);
      return;
    }
    // The directory with its content does not count, but it is matched first and decides what its entries are under.
    this.#isUnderMatch(at.path);
    if (!(at.path === this.#path && this.#skipsOwnHeader)) this.#visit(node, at, true);
    for (const child of node.children)
      this.walk(child, { path: `${at.path}/${child.name}`, realPath: `${at.realPath}/${child.name}` });
  }

  #visit(node: TreeNode, at: PathInTree, isHeader: boolean): void {
    const { path } = at;
    while (this.#parents.length > 0 && !path.startsWith(`${this.#parents.at(-1)?.path}/`)) this.#parents.pop();
    if (!this.#isUnderMatch(path)) return;
    const parent = this.#parents.at(-1);
    const base = this.#query.wildcard ? this.#lastMatched : this.#path;
    const { isSelected, include, exclude } = this.#match(relativeTo(path, base), parent);
    if (!isSelected && !isHeader) return;
    const followLinks = parent === undefined && this.#query.followLinks;
    const candidate: Candidate = { ...at, node, isHeader, followLinks, include, exclude, isIncluded: false };
    if (isSelected) {
      // A directory that was not selected counts once something in it does.
      for (const directory of [...this.#parents, candidate]) {
        if (!directory.isIncluded) this.paths.push(directory);
        directory.isIncluded = true;
      }
    }
    if (isHeader) this.#parents.push(candidate);
  }

  /** With wildcards: whether the path matches, or is inside of what matched last. */
  #isUnderMatch(path: string): boolean {
    if (!this.#query.wildcard || this.#path === "") return true;
    if (this.#lastMatched !== "" && path.startsWith(`${this.#lastMatched}/`)) return true;
    if (!matchPath(utf8Text(this.#path), utf8Text(path))) return false;
    this.#lastMatched = path;
    return true;
  }

  #match(
    path: string,
    parent: Candidate | undefined,
  ): { isSelected: boolean; include: MatchInfo | undefined; exclude: MatchInfo | undefined } {
    const include = this.#include?.matchesUsingParentResults(path, parent?.include);
    if (include?.matched === false) return { isSelected: false, include: include.info, exclude: undefined };
    const exclude = this.#exclude?.matchesUsingParentResults(path, parent?.exclude);
    return { isSelected: exclude?.matched !== true, include: include?.info, exclude: exclude?.info };
  }
}

function relativeTo(path: string, base: string): string {
  const text = `${path}/`;
  return utf8Text((text.startsWith(`${base}/`) ? text.slice(base.length + 1) : text).replace(/\/$/, ""));
}

function matcherOf(patterns: readonly string[], name: string): PatternMatcher | undefined {
  if (patterns.length === 0) return undefined;
  try {
    return new PatternMatcher(patterns);
  } catch (error) {
    throw new BuildError("invalid_argument", `invalid ${name}: [${patterns.join(" ")}]: syntax error in pattern`, {
      cause: error,
    });
  }
}
