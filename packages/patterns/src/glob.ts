import { BuildError } from "@buildkit-ts/errdefs";

type Range = readonly [low: number, high: number];

type Token =
  | { readonly kind: "char"; readonly code: number }
  | { readonly kind: "any" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly Range[] }
  /** `*`: any number of characters of one path element. */
  | { readonly kind: "star" }
  /** Two stars, in the middle: nothing, or whole leading directories. */
  | { readonly kind: "directories" }
  /** Two stars, at the end: everything. */
  | { readonly kind: "rest" };

const slash = 0x2f;

// A regular expression that backtracks takes time to the power of this number.
const maxStarsByBacktracking = 2;

/**
 * A wildcard pattern as a nondeterministic automaton.
 *
 * Patterns come from enemies. Translated to a backtracking `RegExp`, a handful of stars takes exponential time on a
 * path of a hundred characters; here the work is bounded by (pattern length) × (path length). Patterns with few stars
 * become one nevertheless, which is much faster and takes at most the square of the path's length.
 */
export class Glob {
  readonly #tokens: readonly Token[];
  readonly #expression: RegExp | undefined;
  /** What a text begins and ends with that matches: of hundreds of patterns, hardly any gets further. */
  readonly #start: string;
  readonly #end: string;

  private constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
    if (tokens.filter(({ kind }) => isUnbounded(kind)).length <= maxStarsByBacktracking)
      this.#expression = new RegExp(`^${tokens.map(toRegExp).join("")}$`, "su");
    this.#start = literalStart(tokens);
    this.#end = Array.from(literalStart(tokens.toReversed())).reverse().join("");
  }

  /**
   * @param doubleStars Whether `**` crosses directories; without it, it is the same as `*` (Go's `path.Match`).
   * @throws {BuildError} `invalid_argument`, for an unfinished class or escape.
   */
  static parse(pattern: string, doubleStars: boolean): Glob {
    return new Glob(tokenize(Array.from(pattern), doubleStars));
  }

  matches(path: string): boolean {
    if (!path.startsWith(this.#start) || !path.endsWith(this.#end)) return false;
    return this.#expression?.test(path) ?? this.#run(path).has(this.#tokens.length);
  }

  /** Whether some text that begins with `prefix` matches. */
  canContinue(prefix: string): boolean {
    return this.#run(prefix).size > 0;
  }

  #run(text: string): Set<number> {
    let states = new Set<number>();
    this.#enter(states, 0);
    for (const character of text) {
      const next = new Set<number>();
      for (const state of states) this.#step(next, state, character.codePointAt(0) ?? 0);
      states = next;
      if (states.size === 0) break;
    }
    return states;
  }

  /** Adds a state and those reachable from it without reading anything. */
  #enter(states: Set<number>, start: number): void {
    let state = start;
    for (;;) {
      states.add(state);
      const kind = this.#tokens[state]?.kind;
      if (kind === undefined || !isUnbounded(kind)) return;
      state += 1;
    }
  }

  #step(next: Set<number>, state: number, code: number): void {
    const token = this.#tokens[state];
    switch (token?.kind) {
      case undefined:
        return;
      case "char":
        if (token.code === code) this.#enter(next, state + 1);
        return;
      case "any":
        if (code !== slash) this.#enter(next, state + 1);
        return;
      case "class":
        if (token.ranges.some(([low, high]) => low <= code && code <= high) !== token.negated)
          this.#enter(next, state + 1);
        return;
      case "star":
        if (code !== slash) this.#enter(next, state);
        return;
      case "directories":
        // Stays inside without entering what follows: that may begin only where a directory ends.
        next.add(state);
        if (code === slash) this.#enter(next, state + 1);
        return;
      case "rest":
        this.#enter(next, state);
        return;
      default:
        token satisfies never;
    }
  }
}

function literalStart(tokens: readonly Token[]): string {
  let text = "";
  for (const token of tokens) {
    if (token.kind !== "char") break;
    text += String.fromCodePoint(token.code);
  }
  return text;
}

function isUnbounded(kind: Token["kind"]): boolean {
  return kind === "star" || kind === "directories" || kind === "rest";
}

function toRegExp(token: Token): string {
  switch (token.kind) {
    case "char":
      return escapeCode(token.code);
    case "any":
      return "[^/]";
    case "star":
      return "[^/]*";
    case "directories":
      return "(?:.*/)?";
    case "rest":
      return ".*";
    case "class": {
      // A range from high to low matches nothing in Go, and is an error here.
      const ranges = token.ranges.filter(([low, high]) => low <= high);
      const text = ranges.map(([low, high]) => `${escapeCode(low)}-${escapeCode(high)}`).join("");
      return `[${token.negated ? "^" : ""}${text}]`;
    }
    default:
      return token satisfies never;
  }
}

function escapeCode(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

function tokenize(characters: readonly string[], doubleStars: boolean): Token[] {
  const tokens: Token[] = [];
  let index = 0;
  while (index < characters.length) {
    const character = characters[index];
    if (character === "*") {
      const [token, after] = star(characters, index, doubleStars);
      tokens.push(token);
      index = after;
    } else if (character === "?") {
      tokens.push({ kind: "any" });
      index += 1;
    } else if (character === "[") {
      const [token, after] = characterClass(characters, index + 1);
      tokens.push(token);
      index = after;
    } else {
      const [code, after] = literal(characters, index);
      tokens.push({ kind: "char", code });
      index = after;
    }
  }
  return tokens;
}

function star(characters: readonly string[], start: number, doubleStars: boolean): [Token, number] {
  if (!doubleStars || characters[start + 1] !== "*") return [{ kind: "star" }, start + 1];
  const after = characters[start + 2] === "/" ? start + 3 : start + 2;
  return [{ kind: after >= characters.length ? "rest" : "directories" }, after];
}

function literal(characters: readonly string[], start: number): [number, number] {
  const index = characters[start] === "\\" ? start + 1 : start;
  const code = characters[index]?.codePointAt(0);
  if (code === undefined) throw badPattern();
  return [code, index + 1];
}

function characterClass(characters: readonly string[], start: number): [Token, number] {
  const negated = characters[start] === "^";
  const ranges: Range[] = [];
  let index = negated ? start + 1 : start;
  while (characters[index] !== "]" || ranges.length === 0) {
    const [low, afterLow] = classMember(characters, index);
    const isRange = characters[afterLow] === "-";
    const [high, afterHigh] = isRange ? classMember(characters, afterLow + 1) : [low, afterLow];
    ranges.push([low, high]);
    index = afterHigh;
  }
  return [{ kind: "class", negated, ranges }, index + 1];
}

function classMember(characters: readonly string[], index: number): [number, number] {
  const character = characters[index];
  if (character === undefined || character === "-" || character === "]") throw badPattern();
  return literal(characters, index);
}

function badPattern(): BuildError {
  return new BuildError("invalid_argument", "syntax error in pattern");
}
