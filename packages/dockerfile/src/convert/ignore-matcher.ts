import { BuildError } from "@buildkit-ts/errdefs";
import { PatternMatcher } from "@buildkit-ts/patterns";
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

/**
 * The patterns of an ignore file, checked: the client would only say that one of many is malformed.
 *
 * @throws {BuildError} `invalid_argument`, naming the file and the pattern.
 */
export function readIgnoreFile(name: string, data: Uint8Array): string[] {
  const patterns = parseIgnoreFile(data);
  for (const pattern of patterns) {
    try {
      new IgnoreMatcher([pattern]);
    } catch (error) {
      const { code, message } = BuildError.from(error);
      throw new BuildError(code, `failed to parse ${name}: ${message}: ${JSON.stringify(pattern)}`, { cause: error });
    }
  }
  return patterns;
}

/** Tells which paths an ignore file excludes. */
export class IgnoreMatcher {
  readonly #matcher: PatternMatcher;
  readonly #patterns: readonly string[];

  /** @throws {BuildError} `invalid_argument` for a malformed pattern. */
  constructor(patterns: readonly string[]) {
    this.#matcher = new PatternMatcher(patterns);
    this.#patterns = patterns.map((pattern) => cleanPath(trimSpace(pattern)));
  }

  /** Whether any pattern makes an exception: then the answer for one path says little. */
  get hasExceptions(): boolean {
    return this.#matcher.hasNegations;
  }

  /** Whether everything at the root is excluded. */
  get excludesRoot(): boolean {
    return this.#patterns.some((pattern) => ["*", "**", "**/*"].includes(pattern));
  }

  /** Whether the path or a directory above it is excluded. */
  excludes(path: string): boolean {
    return this.#matcher.matches(path);
  }
}
