import { BuildError } from "@buildkit-ts/errdefs";

/** A piece of a pattern that matches one character, or any number of them. */
export type GlobToken =
  | { readonly kind: "literal"; readonly character: string }
  /** `?`: one character but `/`. */
  | { readonly kind: "any" }
  /** `*`: any characters but `/`. */
  | { readonly kind: "star" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] }
  /** `**`: nothing, or anything that ends with a slash. */
  | { readonly kind: "directories" }
  /** `**` at the end: anything. */
  | { readonly kind: "everything" };

/** The error that Go's `filepath.Match` gives. */
export function badPattern(): BuildError {
  return new BuildError("invalid_argument", "syntax error in pattern");
}

/**
 * Reads a pattern as Go's `filepath.Match` does: `*`, `?`, `[^a-z]`, and `\` before a character that means itself.
 *
 * @param options With `doubleStar`, `**` spans directories as in `.dockerignore`; otherwise it is two stars.
 * @throws {BuildError} `invalid_argument`: `syntax error in pattern`.
 */
export function parseGlob(pattern: string, options: { readonly doubleStar: boolean }): GlobToken[] {
  const reader = new GlobReader(pattern);
  const tokens: GlobToken[] = [];
  while (!reader.ended) tokens.push(reader.readToken(options.doubleStar));
  return tokens;
}

class GlobReader {
  readonly #characters: readonly string[];
  #position = 0;

  constructor(pattern: string) {
    this.#characters = Array.from(pattern);
  }

  get ended(): boolean {
    return this.#position >= this.#characters.length;
  }

  readToken(doubleStar: boolean): GlobToken {
    const character = this.#next();
    switch (character) {
      case "*":
        if (!doubleStar || !this.#skip("*")) return { kind: "star" };
        // `**/` is `**`: nothing at all counts as directories too.
        this.#skip("/");
        return this.ended ? { kind: "everything" } : { kind: "directories" };
      case "?":
        return { kind: "any" };
      case "[":
        return this.#readClass();
      case "\\":
        return { kind: "literal", character: this.#next() };
      default:
        return { kind: "literal", character };
    }
  }

  #readClass(): GlobToken {
    const negated = this.#skip("^");
    const ranges: [string, string][] = [];
    while (ranges.length === 0 || !this.#skip("]")) {
      const low = this.#readClassCharacter();
      ranges.push([low, this.#skip("-") ? this.#readClassCharacter() : low]);
    }
    return { kind: "class", negated, ranges };
  }

  #readClassCharacter(): string {
    const character = this.#next();
    if (character === "-" || character === "]") throw badPattern();
    const meant = character === "\\" ? this.#next() : character;
    // A class that is not closed.
    if (this.ended) throw badPattern();
    return meant;
  }

  #skip(character: string): boolean {
    if (this.#characters[this.#position] !== character) return false;
    this.#position += 1;
    return true;
  }

  #next(): string {
    const character = this.#characters[this.#position];
    if (character === undefined) throw badPattern();
    this.#position += 1;
    return character;
  }
}
