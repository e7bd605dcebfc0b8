import { BuildError } from "@buildkit-ts/errdefs";
import { quote } from "@buildkit-ts/gotext";
import type { Environment } from "./environment.ts";
import { checkExpandedLength } from "./expanded-length.ts";
import { reversePattern, ShellPattern } from "./shell-pattern.ts";
import { WordCollector } from "./word-collector.ts";

/** How {@linkcode expandWord} reads its text; all off unless said. */
export interface ExpandOptions {
  /** The escape character, `\` or a backquote. */
  readonly escape: string;
  /** Keeps quotes in the result. */
  readonly rawQuotes?: boolean;
  /** Keeps escapes in the result. */
  readonly rawEscapes?: boolean;
  /** Quotes are ordinary characters. */
  readonly skipQuotes?: boolean;
  /** References to variables that are not set stay as they are. */
  readonly skipUnset?: boolean;
  /** Gets the names that had no value, also where the text turns out to be malformed behind them. */
  readonly missing?: Set<string>;
}

/** A text with its variables expanded. */
export interface Expansion {
  readonly result: string;
  /** The result split at unquoted blanks. */
  readonly words: readonly string[];
  /** Names that had a value. */
  readonly matched: ReadonlySet<string>;
  /** Names that had none. */
  readonly unmatched: ReadonlySet<string>;
}

/**
 * Expands `$name` and the `${…}` forms of the shell, and removes quotes.
 *
 * @throws {BuildError} `invalid_argument`: `failed to process "<text>": <why>`.
 */
export function expandWord(text: string, environment: Environment, options: ExpandOptions): Expansion {
  const lexer = new Lexer(text, environment, options);
  try {
    const { result, words } = lexer.readUntil(undefined, options.rawEscapes === true);
    return { result, words, matched: lexer.matched, unmatched: lexer.unmatched };
  } catch (error) {
    const inner = BuildError.from(error);
    throw new BuildError(inner.code, `failed to process ${quote(shown(text))}: ${inner.message}`, { cause: error });
  }
}

/** What a message shows of a text. */
function shown(text: string): string {
  return text.length > maxShownLength ? `${text.slice(0, maxShownLength)}…` : text;
}

const maxShownLength = 4096;
/** Substitutions nest by recursion; more levels than this would only serve to exhaust the stack. */
const maxNesting = 500;
const specialParameters = "@*#?-$!0";

class Lexer {
  readonly matched = new Set<string>();
  readonly unmatched: Set<string>;
  readonly #chars: readonly string[];
  readonly #environment: Environment;
  readonly #options: ExpandOptions;
  #position = 0;
  #rawEscapes: boolean;
  #depth = 0;

  constructor(text: string, environment: Environment, options: ExpandOptions) {
    this.unmatched = options.missing ?? new Set();
    this.#chars = Array.from(text);
    this.#environment = environment;
    this.#options = options;
    this.#rawEscapes = options.rawEscapes === true;
  }

  #peek(): string | undefined {
    return this.#chars[this.#position];
  }

  #next(): string | undefined {
    return this.#chars[this.#position++];
  }

  /** Reads up to the unquoted `stop`, which is consumed, or to the end. */
  readUntil(stop: string | undefined, rawEscapes: boolean): { result: string; words: string[] } {
    if (++this.#depth > maxNesting) throw syntax("substitutions are nested too deeply");
    const outerRawEscapes = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    try {
      return this.#readUntil(stop);
    } finally {
      this.#rawEscapes = outerRawEscapes;
      this.#depth--;
    }
  }

  #readUntil(stop: string | undefined): { result: string; words: string[] } {
    let result = "";
    const words = new WordCollector();
    for (let char = this.#peek(); char !== undefined; char = this.#peek()) {
      if (char === stop) {
        this.#next();
        return { result, words: words.finish() };
      }
      const special = this.#special(char);
      if (special !== undefined) {
        result += special;
        checkExpandedLength(result.length);
        if (char === "$") words.addSplitting(special);
        else words.addRaw(special);
        continue;
      }
      const plain = this.#plain(words);
      if (plain === undefined) break;
      result += plain;
    }
    if (stop !== undefined) throw syntax(`unexpected end of statement while looking for matching ${stop}`);
    return { result, words: words.finish() };
  }

  #special(char: string): string | undefined {
    if (char === "$") return this.#dollar();
    if (char === "<") return this.#heredocOperator();
    if (this.#options.skipQuotes === true) return undefined;
    if (char === "'") return this.#singleQuoted();
    return char === '"' ? this.#doubleQuoted() : undefined;
  }

  /** One ordinary or escaped character; undefined when the text ends with the escape. */
  #plain(words: WordCollector): string | undefined {
    const char = this.#next() ?? "";
    if (char !== this.#options.escape) {
      words.addSplitting(char);
      return char;
    }
    let out = "";
    if (this.#rawEscapes) {
      words.addRaw(char);
      out = char;
    }
    const escaped = this.#next();
    if (escaped === undefined) return out === "" ? undefined : out;
    words.addRaw(escaped);
    return out + escaped;
  }

  #singleQuoted(): string {
    const start = this.#position;
    this.#next();
    for (let char = this.#next(); char !== "'"; char = this.#next())
      if (char === undefined) throw syntax("unexpected end of statement while looking for matching single-quote");
    const raw = this.#options.rawQuotes === true ? 0 : 1;
    return this.#chars.slice(start + raw, this.#position - raw).join("");
  }

  #doubleQuoted(): string {
    const mark = this.#options.rawQuotes === true ? '"' : "";
    let out = mark;
    this.#next();
    for (;;) {
      const char = this.#peek();
      if (char === undefined) throw syntax("unexpected end of statement while looking for matching double-quote");
      if (char === "$") {
        out += this.#dollar();
        checkExpandedLength(out.length);
        continue;
      }
      this.#next();
      if (char === '"') return out + mark;
      out += char === this.#options.escape ? this.#escapeInQuotes(char) : char;
    }
  }

  #escapeInQuotes(escape: string): string {
    const kept = this.#rawEscapes ? escape : "";
    const char = this.#peek();
    if (char === undefined) return kept;
    // Other escapes stay as they are, as in the shell.
    if (char !== '"' && char !== "$" && char !== escape) return kept + escape;
    this.#next();
    return kept + char;
  }

  #dollar(): string {
    this.#next();
    if (this.#peek() === "{") return this.#braced();
    const name = this.#name();
    if (name === "") return "$";
    const value = this.#lookup(name);
    return value ?? (this.#options.skipUnset === true ? `$${name}` : "");
  }

  #braced(): string {
    this.#next();
    const first = this.#peek();
    if (first === undefined) throw syntax("syntax error: missing '}'");
    if (first === "{" || first === "}" || first === ":") throw syntax("syntax error: bad substitution");
    const name = this.#name();
    const operator = this.#next();
    if (operator === "}") {
      const value = this.#lookup(name);
      return value ?? (this.#options.skipUnset === true ? `\${${name}}` : "");
    }
    if (operator === "/") return this.#replace(name);
    if (operator === ":") return this.#modified(name, this.#next(), true);
    if (operator !== undefined && "+-?#%".includes(operator)) return this.#modified(name, operator, false);
    throw syntax(`unsupported modifier (${operator ?? "\uFFFD"}) in substitution`);
  }

  #modified(name: string, operator: string | undefined, emptyIsUnset: boolean): string {
    const spelled = `${emptyIsUnset ? ":" : ""}${operator ?? "\uFFFD"}`;
    const isPattern = operator === "#" || operator === "%";
    if (emptyIsUnset && isPattern) throw syntax(`unsupported modifier (${spelled}) in substitution`);
    const word = this.#until("}", isPattern, "syntax error: missing '}'");
    const value = this.#lookup(name);
    if (value === undefined && this.#options.skipUnset === true) return `\${${name}${spelled}${word}}`;
    if (isPattern) return trim(operator, word, value ?? "");
    if (operator !== "-" && operator !== "+" && operator !== "?")
      throw syntax(`unsupported modifier (${spelled}) in substitution`);
    return conditional({ operator, name, word }, value, emptyIsUnset);
  }

  #replace(name: string): string {
    const all = this.#peek() === "/";
    if (all) this.#next();
    const pattern = this.#until("/", true, "syntax error: missing '/' in ${}");
    const replacement = this.#until("}", true, "syntax error: missing '}'");
    const value = this.#lookup(name);
    if (value === undefined && this.#options.skipUnset === true) return `\${${name}/${pattern}/${replacement}}`;
    return compile(pattern).replace(value ?? "", replacement, all);
  }

  #until(stop: string, rawEscapes: boolean, atEnd: string): string {
    try {
      return this.readUntil(stop, rawEscapes).result;
    } catch (error) {
      if (this.#peek() === undefined) throw new BuildError("invalid_argument", atEnd, { cause: error });
      throw error;
    }
  }

  #name(): string {
    const first = this.#peek();
    if (first !== undefined && /\p{Nd}/u.test(first)) return this.#take(/\p{Nd}/u);
    if (first !== undefined && specialParameters.includes(first)) return this.#next() ?? "";
    return this.#take(/[\p{L}\p{Nd}_]/u);
  }

  #take(wanted: RegExp): string {
    const start = this.#position;
    for (let char = this.#peek(); char !== undefined && wanted.test(char); char = this.#peek()) this.#next();
    return this.#chars.slice(start, this.#position).join("");
  }

  #heredocOperator(): string {
    this.#next();
    if (this.#peek() !== "<") return "<";
    this.#next();
    // `<< EOF` is one word with its delimiter.
    return `<<${this.#take(/[\t\r ]/)}`;
  }

  #lookup(name: string): string | undefined {
    const value = this.#environment.get(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }
}

interface Conditional {
  readonly operator: "-" | "+" | "?";
  readonly name: string;
  readonly word: string;
}

function conditional({ operator, name, word }: Conditional, value: string | undefined, emptyIsUnset: boolean): string {
  const missing = value === undefined || (emptyIsUnset && value === "");
  if (operator === "+") return missing ? "" : word;
  if (!missing) return value;
  if (operator === "-") return word;
  throw syntax(`${name}: ${word || `is not allowed to be ${value === undefined ? "unset" : "empty"}`}`);
}

function trim(operator: "#" | "%", word: string, value: string): string {
  const greedy = word.startsWith(operator);
  const pattern = greedy ? word.slice(1) : word;
  if (operator === "#") return compile(pattern).trimPrefix(value, greedy);
  // The shortest match at the end is found from the left in the reversed text.
  const reversed = compile(reversePattern(pattern)).trimPrefix(Array.from(value).toReversed().join(""), greedy);
  return Array.from(reversed).toReversed().join("");
}

function compile(pattern: string): ShellPattern {
  try {
    return new ShellPattern(pattern);
  } catch (error) {
    const why = BuildError.from(error).message;
    throw new BuildError("invalid_argument", `invalid pattern (${pattern}) in substitution: ${why}`, { cause: error });
  }
}

function syntax(message: string): BuildError {
  return new BuildError("invalid_argument", message);
}
