import { BuildError } from "@buildkit-ts/errdefs";
import { checkExpandedLength } from "./expanded-length.ts";

/** Steps that matching may take, about 40 ms: no pattern that anybody means comes near. */
const maxSteps = 4_000_000;

type Token = "star" | "any" | { readonly literal: string };

/**
 * A shell pattern: `*` is any text, `?` any character, neither crosses a newline.
 *
 * It is matched by dynamic programming in time |pattern| × |text|: a pattern in a Dockerfile is hostile, and as a
 * backtracking regular expression `*a*a*a*b` would take exponential time.
 */
export class ShellPattern {
  readonly #tokens: readonly Token[];

  /** @throws {BuildError} `invalid_argument` for an escape of an ordinary character. */
  constructor(pattern: string) {
    this.#tokens = tokenize(pattern);
  }

  /** For each start index, the end of the longest (or shortest) match that begins there, or -1. */
  #ends(text: readonly string[], greedy: boolean): Int32Array {
    const size = text.length;
    if (this.#tokens.length * size > maxSteps)
      throw new BuildError("invalid_argument", `a pattern of ${this.#tokens.length} parts is too much for this value`);
    let next = Int32Array.from({ length: size + 1 }, (_, i) => i);
    for (const token of this.#tokens.toReversed()) {
      const ends = new Int32Array(size + 1).fill(-1);
      for (let i = size; i >= 0; i--) ends[i] = endAt({ token, next, ends, text, greedy }, i);
      next = ends;
    }
    return next;
  }

  /** The text without the longest or shortest match at its beginning. */
  trimPrefix(text: string, greedy: boolean): string {
    const chars = Array.from(text);
    const end = this.#ends(chars, greedy)[0] ?? -1;
    return end < 0 ? text : chars.slice(end).join("");
  }

  /** The text with the first, or every, longest match replaced. @throws {BuildError} if it grows over `maxExpandedLength`. */
  replace(text: string, replacement: string, all: boolean): string {
    const chars = Array.from(text);
    const ends = this.#ends(chars, true);
    let out = "";
    let copied = 0;
    let previousEnd = -1;
    for (let i = 0; i <= chars.length; ) {
      const end = ends[i] ?? -1;
      // An empty match right behind the previous match is none.
      if (end < 0 || (end === i && i === previousEnd)) {
        i++;
        continue;
      }
      const matched = chars.slice(i, end).join("");
      out += chars.slice(copied, i).join("") + (all ? expandTemplate(replacement, matched) : replacement);
      checkExpandedLength(out.length);
      copied = end;
      previousEnd = end;
      if (!all) break;
      i = end === i ? i + 1 : end;
    }
    return out + chars.slice(copied).join("");
  }
}

interface Step {
  readonly token: Token;
  readonly next: Int32Array;
  readonly ends: Int32Array;
  readonly text: readonly string[];
  readonly greedy: boolean;
}

function endAt({ token, next, ends, text, greedy }: Step, i: number): number {
  const char = text[i];
  if (token === "star") {
    const stop = next[i] ?? -1;
    const onward = char === undefined || char === "\n" ? -1 : (ends[i + 1] ?? -1);
    if (stop < 0 || onward < 0) return Math.max(stop, onward);
    return greedy ? Math.max(stop, onward) : Math.min(stop, onward);
  }
  const matches = token === "any" ? char !== undefined && char !== "\n" : char === token.literal;
  return matches ? (next[i + 1] ?? -1) : -1;
}

function tokenize(pattern: string): Token[] {
  const chars = Array.from(pattern);
  const tokens: Token[] = [];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? "";
    if (char === "*") tokens.push("star");
    else if (char === "?") tokens.push("any");
    else if (char !== "\\") tokens.push({ literal: char });
    // `}` and `/` had to be escaped to stand inside `${}`: that escape is no part of the pattern.
    else if (chars[i + 1] !== "}" && chars[i + 1] !== "/") tokens.push({ literal: escaped(chars[++i]) });
  }
  return tokens;
}

function escaped(char: string | undefined): string {
  if (char === "*" || char === "?" || char === "\\") return char;
  throw new BuildError("invalid_argument", `invalid escape '\\${char ?? "\uFFFD"}'`);
}

/** `$0`, `$name` and `${name}` in the replacement of `//`: the match has no groups, so only `$0` has a value. */
function expandTemplate(replacement: string, matched: string): string {
  return replacement.replace(/\$(?:\$|\w+|\{\w+\})/g, (reference) => {
    if (reference === "$$") return "$";
    return reference === "$0" || reference === "${0}" ? matched : "";
  });
}

/** The pattern for reversed text; escapes stay before what they escape. */
export function reversePattern(pattern: string): string {
  return [...pattern.matchAll(/\\[^]|[^]/gu)]
    .map(([token]) => token)
    .toReversed()
    .join("");
}
