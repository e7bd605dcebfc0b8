import { type MatchInfo, PatternMatcher } from "./pattern-matcher.ts";

/** What a {@linkcode PathFilter} knows of a directory, handed to the filtering of its entries. */
export interface FilterState {
  readonly include: MatchInfo | undefined;
  readonly exclude: MatchInfo | undefined;
}

/** At the root of a tree. */
export const initialFilterState: FilterState = { include: undefined, exclude: undefined };

export interface FilterDecision {
  /** The path itself is wanted. The parents of what is wanted are wanted as well. */
  readonly isIncluded: boolean;
  /** If it is a directory: something in it may be wanted. */
  readonly mayIncludeBelow: boolean;
  readonly state: FilterState;
}

/** Include and exclude patterns together, for a walk down a tree. No include pattern includes everything. */
export class PathFilter {
  readonly #include: PatternMatcher | undefined;
  readonly #exclude: PatternMatcher | undefined;

  /** @throws {BuildError} `invalid_argument` for a malformed pattern. */
  constructor(options: { readonly include?: readonly string[]; readonly exclude?: readonly string[] }) {
    const { include = [], exclude = [] } = options;
    this.#include = include.length === 0 ? undefined : new PatternMatcher(include);
    this.#exclude = exclude.length === 0 ? undefined : new PatternMatcher(exclude);
  }

  /** Lets everything through. */
  get isEmpty(): boolean {
    return this.#include === undefined && this.#exclude === undefined;
  }

  /** @param path Relative to the root, with slashes. @param parent The state of its directory. */
  decide(path: string, parent: FilterState): FilterDecision {
    const include = this.#include?.matchesUsingParentResults(path, parent.include);
    const exclude = this.#exclude?.matchesUsingParentResults(path, parent.exclude);
    const isMatched = include?.matched !== false;
    const isExcluded = exclude?.matched === true;
    const mayMatchBelow = isMatched || this.#include?.canMatchBelow(path) === true;
    const mayEscapeBelow = !isExcluded || this.#exclude?.canNegateBelow(path) === true;
    return {
      isIncluded: isMatched && !isExcluded,
      mayIncludeBelow: mayMatchBelow && mayEscapeBelow,
      state: { include: include?.info, exclude: exclude?.info },
    };
  }
}
