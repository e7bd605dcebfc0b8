import { BuildError } from "@buildkit-ts/errdefs";
import { Glob } from "./glob.ts";
import { cleanPath } from "./match-path.ts";

/** Which patterns matched a directory, one flag per pattern; handed on to what is inside it. */
export interface MatchInfo {
  readonly matched: readonly boolean[];
}

interface Pattern {
  readonly negated: boolean;
  readonly glob: Glob;
  readonly test: (path: string) => boolean;
}

/**
 * The patterns of `.dockerignore` files and of copy filters, with moby's meaning.
 *
 * Paths are relative, with slashes. The last pattern that matches a path *or one of its parent directories* decides;
 * one that begins with `!` takes back what earlier ones matched. `**` stands for any number of directories.
 */
export class PatternMatcher {
  readonly #patterns: readonly Pattern[];
  /** Whether a pattern begins with `!`. */
  readonly hasNegations: boolean;

  /** @throws {BuildError} `invalid_argument`, for a malformed pattern. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns
      .map((pattern) => pattern.trim())
      .filter((pattern) => pattern !== "")
      .map(parsePattern);
    this.hasNegations = this.#patterns.some((pattern) => pattern.negated);
  }

  /** Whether the path, or a parent of it, is matched. */
  matches(path: string): boolean {
    return this.matchesUsingParentResults(path).matched;
  }

  /**
   * As {@linkcode PatternMatcher.matches}, for walks: `parent` is what this method returned for the parent directory,
   * so that parents need not be tried again. Without it the path's parents are tried.
   */
  matchesUsingParentResults(path: string, parent?: MatchInfo): { readonly matched: boolean; readonly info: MatchInfo } {
    const parents = parent === undefined || parent.matched.length === 0 ? parentsOf(path) : [];
    const flags: boolean[] = [];
    let matched = false;
    for (const [index, pattern] of this.#patterns.entries()) {
      // A pattern that cannot change the outcome is not tried: its flag stays false also for what is below.
      const flag =
        parent?.matched[index] === true ||
        (pattern.negated === matched && (pattern.test(path) || parents.some(pattern.test)));
      flags.push(flag);
      if (flag) matched = !pattern.negated;
    }
    return { matched, info: { matched: flags } };
  }

  /** Whether something below the directory could be matched; `false` lets a walk skip it. */
  canMatchBelow(directory: string): boolean {
    return this.#reaches(directory, false);
  }

  /** Whether a pattern with `!` could match something below the directory. */
  canNegateBelow(directory: string): boolean {
    return this.hasNegations && this.#reaches(directory, true);
  }

  #reaches(directory: string, negated: boolean): boolean {
    const prefix = directory === "" || directory === "." ? "" : `${directory}/`;
    const self = prefix === "" ? [] : [...parentsOf(directory), directory];
    return this.#patterns.some(
      (pattern) => pattern.negated === negated && (pattern.glob.canContinue(prefix) || self.some(pattern.test)),
    );
  }
}

function parsePattern(text: string): Pattern {
  const clean = cleanPath(text);
  const negated = clean.startsWith("!");
  if (clean === "!") throw new BuildError("invalid_argument", 'illegal exclusion pattern: "!"');
  const pattern = negated ? clean.slice(1) : clean;
  const glob = Glob.parse(pattern, true);
  return { negated, glob, test: fastTest(pattern) ?? ((path) => glob.matches(path)) };
}

/** Tests by plain comparison for the usual patterns; undefined for those that need the automaton. */
function fastTest(pattern: string): ((path: string) => boolean) | undefined {
  if (!/[*?[\]\\]/.test(pattern)) return (path) => path === pattern;
  const end = /^([^*?[\]\\]+)\*\*\/?$/.exec(pattern)?.[1];
  if (end !== undefined) return (path) => path.startsWith(end);
  // At the start, two stars stand for any text whatever: `**b` matches `a/ab`, unlike `x**b` and `x/ab`.
  const tail = /^\*\*([^*?[\]\\]*)$/.exec(pattern)?.[1];
  if (tail === undefined) return undefined;
  return (path) => path.endsWith(tail) || (tail.startsWith("/") && path === tail.slice(1));
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let end = path.indexOf("/", 1); end >= 0; end = path.indexOf("/", end + 1)) parents.push(path.slice(0, end));
  return parents;
}
