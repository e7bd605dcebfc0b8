import { BuildError } from "@buildkit-ts/errdefs";
import { SafeRegExp } from "./safe-reg-exp.ts";

/** Looks a field up: `present` decides a bare field, `value` the comparisons. */
export type FieldLookup = (path: readonly string[]) => { readonly value: string; readonly present: boolean };
/** Whether what the lookup describes is selected. */
export type Filter = (lookup: FieldLookup) => boolean;

type Operator = "==" | "!=" | "~=";

/**
 * Filters as `buildctl du --filter` takes them, in containerd's grammar: selectors `field`, `field==value`,
 * `field!=value`, `field~=regexp`; commas within one text mean *and*, several texts mean *or*; none, or an empty one,
 * selects everything.
 *
 * @throws {BuildError} `invalid_argument`, for text outside the grammar.
 */
export function parseFilters(texts: readonly string[]): Filter {
  if (texts.length === 0 || texts.includes("")) {
    for (const text of texts) if (text !== "") new FilterParser(text).parse();
    return () => true;
  }
  const filters = texts.map((text) => new FilterParser(text).parse());
  return (lookup) => filters.some((filter) => filter(lookup));
}

class FilterParser {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Filter {
    const selectors = [this.#selector()];
    for (this.#skipSpace(); this.#position < this.#text.length; this.#skipSpace()) {
      if (!this.#take(",")) throw this.#unexpected("a comma");
      selectors.push(this.#selector());
    }
    return (lookup) => selectors.every((selector) => selector(lookup));
  }

  #selector(): Filter {
    const path = [this.#field()];
    while (this.#take(".")) path.push(this.#field());
    this.#skipSpace();
    if (this.#position === this.#text.length || this.#text[this.#position] === ",")
      return (lookup) => lookup(path).present;
    const operator = this.#operator();
    const value = this.#value(operator);
    switch (operator) {
      case "==":
        return (lookup) => isEqual(lookup(path), value);
      case "!=":
        return (lookup) => lookup(path).value !== value;
      case "~=": {
        const pattern = new SafeRegExp(value);
        return (lookup) => pattern.test(lookup(path).value);
      }
      default:
        operator satisfies never;
        throw this.#unexpected("an operator");
    }
  }

  #field(): string {
    this.#skipSpace();
    return this.#quoted('"') ?? this.#match(/[A-Za-z0-9_]+/y) ?? this.#fail("a field");
  }

  #operator(): Operator {
    const operator = this.#match(/[=!~]+/y);
    if (operator === "==" || operator === "!=" || operator === "~=") return operator;
    throw this.#unexpected('an operator ("=="|"!="|"~=")');
  }

  #value(operator: Operator): string {
    this.#skipSpace();
    // Regular expressions may be quoted by slashes or bars as well, since they hold quotes and backslashes themselves.
    return this.#quoted(operator === "~=" ? '"/|' : '"') ?? this.#match(/[^\s,"/|][^\s,]*/y) ?? this.#fail("a value");
  }

  #quoted(quotes: string): string | undefined {
    const quote = this.#text[this.#position];
    if (quote === undefined || !quotes.includes(quote)) return undefined;
    let content = "";
    for (let index = this.#position + 1; index < this.#text.length; index++) {
      const character = this.#text.charAt(index);
      if (character === quote) {
        this.#position = index + 1;
        return content;
      }
      if (character === "\\") {
        index += 1;
        content += unescape(this.#text.charAt(index), quote);
      } else content += character;
    }
    throw this.#unexpected("a closing quote");
  }

  #match(expression: RegExp): string | undefined {
    expression.lastIndex = this.#position;
    const text = expression.exec(this.#text)?.[0];
    this.#position += text?.length ?? 0;
    return text;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== character) return false;
    this.#position += 1;
    return true;
  }

  #skipSpace(): void {
    this.#match(/\s+/y);
  }

  #fail(expected: string): never {
    throw this.#unexpected(expected);
  }

  #unexpected(expected: string): BuildError {
    const text = this.#text.slice(0, 200);
    return new BuildError(
      "invalid_argument",
      `Cannot parse filter "${text}": expected ${expected} at position ${this.#position}`,
    );
  }
}

function isEqual(field: { readonly value: string; readonly present: boolean }, value: string): boolean {
  return field.present && field.value === value;
}

function unescape(character: string, quote: string): string {
  if (character === quote || character === "\\") return character;
  const simple: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", v: "\v", f: "\f", b: "\b", a: "\x07" };
  // What is no escape of a quoted text stays one of the regular expression: `/\d+/`.
  return simple[character] ?? `\\${character}`;
}
