import { type GlobToken, parseGlob } from "./glob-syntax.ts";

// A regular expression that backtracks takes time to the power of this number.
const maxStarsByBacktracking = 2;

/** A function that says whether a whole path matches. Its time is bounded, whatever the pattern. */
export function compileGlob(tokens: readonly GlobToken[]): (path: string) => boolean {
  const stars = tokens.filter(({ kind }) => isUnbounded(kind)).length;
  if (stars > maxStarsByBacktracking) return (path) => simulate(tokens, path);
  const expression = new RegExp(`^${tokens.map(toRegExp).join("")}$`, "su");
  return (path) => expression.test(path);
}

/** Go's `filepath.Match`. @throws {BuildError} `invalid_argument` for a malformed pattern. */
export function compileFileMatch(pattern: string): (path: string) => boolean {
  return compileGlob(parseGlob(pattern, { doubleStar: false }));
}

function isUnbounded(kind: GlobToken["kind"]): boolean {
  return kind === "star" || kind === "directories" || kind === "everything";
}

function toRegExp(token: GlobToken): string {
  switch (token.kind) {
    case "literal":
      return escapeCharacter(token.character);
    case "any":
      return "[^/]";
    case "star":
      return "[^/]*";
    case "directories":
      return "(?:.*/)?";
    case "everything":
      return ".*";
    case "class": {
      // A range from high to low matches nothing in Go, and is an error here.
      const ranges = token.ranges.filter(([low, high]) => codePoint(low) <= codePoint(high));
      const text = ranges.map(([low, high]) => `${escapeCharacter(low)}-${escapeCharacter(high)}`).join("");
      return `[${token.negated ? "^" : ""}${text}]`;
    }
    default:
      return token satisfies never;
  }
}

function escapeCharacter(character: string): string {
  return `\\u{${codePoint(character).toString(16)}}`;
}

function codePoint(character: string): number {
  return character.codePointAt(0) ?? 0;
}

/** Follows all ways to match at once: time is the product of both lengths. */
function simulate(tokens: readonly GlobToken[], path: string): boolean {
  let states = new Set<number>();
  addState(states, { tokens, index: 0 });
  for (const character of path) {
    const next = new Set<number>();
    for (const index of states) step(next, { tokens, index }, character);
    if (next.size === 0) return false;
    states = next;
  }
  return states.has(finalState(tokens));
}

interface Position {
  readonly tokens: readonly GlobToken[];
  /** Index of a token; for `directories`, negative once something was taken of it. */
  readonly index: number;
}

function finalState(tokens: readonly GlobToken[]): number {
  return tokens.length;
}

function addState(states: Set<number>, { tokens, index }: Position): void {
  if (states.has(index)) return;
  states.add(index);
  const token = tokens[index];
  // All of these match nothing, too.
  if (token !== undefined && isUnbounded(token.kind)) addState(states, { tokens, index: index + 1 });
}

function step(next: Set<number>, { tokens, index }: Position, character: string): void {
  // Inside of `directories`: only behind a slash may the rest begin.
  const inside = index < 0;
  const at = inside ? -index - 1 : index;
  const token = tokens[at];
  if (token === undefined) return;
  if (token.kind === "directories") {
    next.add(-at - 1);
    if (character === "/") addState(next, { tokens, index: at + 1 });
  } else if (token.kind === "everything") addState(next, { tokens, index: at });
  else if (token.kind === "star") {
    if (character !== "/") addState(next, { tokens, index: at });
  } else if (matchesOne(token, character)) addState(next, { tokens, index: at + 1 });
}

function matchesOne(token: GlobToken, character: string): boolean {
  if (token.kind === "literal") return token.character === character;
  if (token.kind === "any") return character !== "/";
  if (token.kind !== "class") return false;
  const code = codePoint(character);
  const isListed = token.ranges.some(([low, high]) => codePoint(low) <= code && code <= codePoint(high));
  return isListed !== token.negated;
}
