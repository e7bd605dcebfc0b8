import { BuildError } from "@buildkit-ts/errdefs";
import { invalid } from "../text/located-error.ts";
import { trimSpace } from "../text/whitespace.ts";
import { cleanPath } from "./target-path.ts";

/**
 * The patterns of an ignore file: comments and blank lines left out, paths cleaned and relative, `!` kept.
 */
export function parseIgnoreFile(data: Uint8Array): string[] {
  const patterns: string[] = [];
  for (const line of new TextDecoder("utf-8").decode(data).split("\n")) {
    if (line.startsWith("#")) continue;
    const text = trimSpace(line);
    if (text === "") continue;
    const isException = text.startsWith("!");
    const path = isException ? trimSpace(text.slice(1)) : text;
    const clean = path === "" ? "" : cleanPath(path);
    patterns.push((isException ? "!" : "") + (clean.length > 1 && clean.startsWith("/") ? clean.slice(1) : clean));
  }
  return patterns;
}

interface Pattern {
  readonly text: string;
  readonly isException: boolean;
  readonly matches: (path: string) => boolean;
}

/** Tells which paths an ignore file excludes. */
export class IgnoreMatcher {
  readonly #patterns: readonly Pattern[];

  /** @throws {BuildError} `invalid_argument` for a malformed pattern. */
  constructor(patterns: readonly string[]) {
    this.#patterns = patterns
      .map(trimSpace)
      .filter((pattern) => pattern !== "")
      .map(compile);
  }

  /** Whether any pattern makes an exception: then the answer for one path says little. */
  get hasExceptions(): boolean {
    return this.#patterns.some(({ isException }) => isException);
  }

  /** Whether everything at the root is excluded. */
  get excludesRoot(): boolean {
    return this.#patterns.some(({ isException, text }) => !isException && ["*", "**", "**/*"].includes(text));
  }

  /** Whether the path or a directory above it is excluded. */
  excludes(path: string): boolean {
    const parts = path.split("/");
    const prefixes = parts.map((_, i) => parts.slice(0, i + 1).join("/"));
    let excluded = false;
    for (const { isException, matches } of this.#patterns)
      if (isException === excluded && prefixes.some(matches)) excluded = !isException;
    return excluded;
  }
}

function compile(pattern: string): Pattern {
  const cleaned = cleanPath(pattern);
  const isException = cleaned.startsWith("!");
  const text = isException ? cleaned.slice(1) : cleaned;
  if (isException && text === "") throw invalid('illegal exclusion pattern: "!"');
  // `**.log` is a suffix of the whole path, not of its last element.
  const suffix = /^\*\*([^*?[\]\\]+)$/.exec(text)?.[1];
  if (suffix !== undefined)
    return { text, isException, matches: (path) => path.endsWith(suffix) || `/${path}` === suffix };
  const tokens = tokenize(text);
  return { text, isException, matches: (path) => matchTokens(tokens, path) };
}

type Token =
  | { readonly kind: "rest" }
  | { readonly kind: "directories" }
  | { readonly kind: "segment" | "any" }
  | { readonly kind: "set"; readonly regex: RegExp }
  | { readonly kind: "literal"; readonly char: string };

function tokenize(pattern: string): Token[] {
  const syntax = /(\*\*+\/?)$|(\*\*+\/?)|(\*)|(\?)|(\[\^?[^][^\]]*\])|\\([^])|([^])/gu;
  return [...pattern.matchAll(syntax)].map(([all, rest, directories, segment, any, set, escaped]) => {
    if (rest !== undefined) return { kind: "rest" };
    if (directories !== undefined) return { kind: "directories" };
    if (segment !== undefined) return { kind: "segment" };
    if (any !== undefined) return { kind: "any" };
    if (set !== undefined) return { kind: "set", regex: compileSet(set) };
    if (all === "[") throw invalid("syntax error in pattern");
    return { kind: "literal", char: escaped ?? all };
  });
}

function compileSet(set: string): RegExp {
  try {
    return new RegExp(set, "s");
  } catch (cause) {
    throw new BuildError("invalid_argument", "syntax error in pattern", { cause });
  }
}

/** In time |pattern| × |path|: as a backtracking regular expression, a hostile pattern would take exponential time. */
function matchTokens(tokens: readonly Token[], path: string): boolean {
  const chars = Array.from(path);
  // ends[i]: whether the tokens so far, read from the last one, match from i to the end.
  let ends = chars.map(() => false);
  ends.push(true);
  for (const token of tokens.toReversed()) {
    const next = ends;
    ends = next.slice();
    let directoryAhead = false;
    for (let i = chars.length; i >= 0; i--) {
      ends[i] = matchesAt({ token, next, ends, directoryAhead }, chars[i], i);
      if (i > 0 && chars[i - 1] === "/" && next[i] === true) directoryAhead = true;
    }
  }
  return ends[0] === true;
}

interface Step {
  readonly token: Token;
  readonly next: readonly boolean[];
  readonly ends: readonly boolean[];
  /** Whether the rest matches behind some slash from here on. */
  readonly directoryAhead: boolean;
}

function matchesAt({ token, next, ends, directoryAhead }: Step, char: string | undefined, i: number): boolean {
  if (token.kind === "rest") return true;
  if (token.kind === "directories") return next[i] === true || directoryAhead;
  if (token.kind === "segment" && next[i] === true) return true;
  if (char === undefined || !takes(token, char)) return false;
  return (token.kind === "segment" ? ends : next)[i + 1] === true;
}

function takes(token: Exclude<Token, { kind: "rest" | "directories" }>, char: string): boolean {
  if (token.kind === "set") return token.regex.test(char);
  return token.kind === "literal" ? char === token.char : char !== "/";
}
