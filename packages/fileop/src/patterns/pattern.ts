import { compileGlob } from "./glob-matcher.ts";
import { parseGlob } from "./glob-syntax.ts";

/** One line of an ignore file, or one include or exclude pattern. */
export class Pattern {
  /** Cleaned, without the `!`. */
  readonly text: string;
  /** Begins with `!`: takes back what earlier patterns matched. */
  readonly isException: boolean;
  readonly #matches: (path: string) => boolean;

  constructor(text: string, options: { readonly isException: boolean }) {
    this.text = text;
    this.isException = options.isException;
    this.#matches = compilePattern(text);
  }

  /** Whether the whole of a path matches; its parents are not considered. */
  matches(path: string): boolean {
    return this.#matches(path);
  }

  /** The pattern without `/**` or `/*` at its end. */
  get stem(): string {
    return this.text.replace(/\/\*\*$/, "").replace(/\/\*$/, "");
  }

  /** Whether nothing but its stem decides where it can match. */
  get hasLiteralStem(): boolean {
    return !/[*[\]?^\\]/.test(this.stem);
  }
}

function compilePattern(text: string): (path: string) => boolean {
  // Validates whatever form is chosen below.
  const tokens = parseGlob(text, { doubleStar: true });
  const special = /[*?[\]\\]/;
  if (!special.test(text)) return (path) => path === text;
  const front = text.slice(0, -2);
  // `foo/**` is everything that begins with `foo/`, and `foo**` with `foo`.
  if (text.endsWith("**") && !special.test(front) && front !== "") return (path) => path.startsWith(front);
  const tail = text.slice(2);
  // `**/foo` is `foo` at any depth, and `**foo` whatever ends so, unlike `**` elsewhere.
  if (text.startsWith("**") && !special.test(tail)) {
    return (path) => path.endsWith(tail) || (tail.startsWith("/") && path === tail.slice(1));
  }
  return compileGlob(tokens);
}
