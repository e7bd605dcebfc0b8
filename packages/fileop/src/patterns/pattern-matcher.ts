import { posix } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { parseGlob } from "./glob-syntax.ts";
import { Pattern } from "./pattern.ts";

/**
 * Which patterns a directory matched, handed to the matching of what it holds. The empty list knows nothing of the parents.
 */
export type ParentMatches = readonly boolean[];

/** What {@linkcode PatternMatcher.match} found out. */
export interface PatternMatch {
  readonly matched: boolean;
  /** For the entries of this path, if it is a directory. */
  readonly parentMatches: ParentMatches;
}

/**
 * Matches paths against a list of patterns as moby's `patternmatcher` does: the last pattern that matches a path or one of
 * its parents decides, `!` takes back, `**` spans directories. Paths are relative, with slashes, and clean.
 */
export class PatternMatcher {
  readonly patterns: readonly Pattern[];
  /** Whether any pattern begins with `!`. */
  readonly hasExceptions: boolean;

  /** @throws {BuildError} `invalid_argument`: `syntax error in pattern` or `illegal exclusion pattern: "!"`. */
  constructor(patterns: readonly string[]) {
    this.patterns = patterns.flatMap((text) => parsePattern(text));
    this.hasExceptions = this.patterns.some((pattern) => pattern.isException);
  }

  /** Walking down a tree, each level passes on what its parent got: then no parent is matched twice. */
  match(path: string, parentMatches: ParentMatches = []): PatternMatch {
    const results = Array.from(this.patterns, () => false);
    let matched = false;
    for (const [index, pattern] of this.patterns.entries()) {
      let matches = parentMatches[index] === true;
      if (!matches) {
        // It could change nothing.
        if (pattern.isException !== matched) continue;
        matches = pattern.matches(path) || (parentMatches.length === 0 && matchesParent(pattern, path));
      }
      results[index] = matches;
      if (matches) matched = !pattern.isException;
    }
    return { matched, parentMatches: results };
  }

  /** Whether a path or one of its parents is matched. */
  matchesOrParentMatches(path: string): boolean {
    return this.match(path).matched;
  }

  /** Whether something in a directory could match, though the directory itself does not: if not, it need not be read. */
  canMatchBelow(directory: string): boolean {
    return canReach(
      this.patterns.filter((pattern) => !pattern.isException),
      directory,
    );
  }

  /** Whether a pattern with `!` could take back something in a directory that is matched itself. */
  canTakeBackBelow(directory: string): boolean {
    return canReach(
      this.patterns.filter((pattern) => pattern.isException),
      directory,
    );
  }
}

function canReach(patterns: readonly Pattern[], directory: string): boolean {
  const prefix = `${directory}/`;
  return patterns.some((pattern) => !pattern.hasLiteralStem || `${pattern.stem}/`.startsWith(prefix));
}

function matchesParent(pattern: Pattern, path: string): boolean {
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    if (pattern.matches(path.slice(0, slash))) return true;
  }
  return false;
}

function parsePattern(given: string): Pattern[] {
  const trimmed = given.trim();
  if (trimmed === "") return [];
  const clean = cleanPath(trimmed);
  const isException = clean.startsWith("!");
  if (clean === "!") throw new BuildError("invalid_argument", 'illegal exclusion pattern: "!"');
  const text = isException ? clean.slice(1) : clean;
  parseGlob(text, { doubleStar: false });
  return [new Pattern(text, { isException })];
}

/** Go's `path.Clean`. */
export function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}
