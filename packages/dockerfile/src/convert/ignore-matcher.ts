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
  let regex: RegExp;
  try {
    regex = new RegExp(`^${translate(text)}$`, "su");
  } catch (cause) {
    throw new BuildError("invalid_argument", "syntax error in pattern", { cause });
  }
  return { text, isException, matches: (path) => regex.test(path) };
}

function translate(pattern: string): string {
  // Runs of `**/` mean the same as one: folded, so that matching cannot take exponential time.
  const folded = pattern.replace(/(?:\*\*+\/?)+(?=\*\*)/g, "");
  const token = /(\*\*+\/?)$|(\*\*+\/?)|(\*)|(\?)|\[(\^?[^][^\]]*)\]|\\([^])|([^])/gu;
  let out = "";
  for (const [all, end, deep, star, any, set, escaped, literal] of folded.matchAll(token)) {
    if (end !== undefined) out += ".*";
    else if (deep !== undefined) out += "(?:.*/)?";
    else if (star !== undefined) out += "[^/]*";
    else if (any !== undefined) out += "[^/]";
    else if (set !== undefined) out += `[${set.replace(/[[\]&~!(){}/|]/g, "\\$&")}]`;
    else if (all === "[") throw invalid("syntax error in pattern");
    else out += escapeLiteral(escaped ?? literal ?? "");
  }
  return out;
}

function escapeLiteral(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}
