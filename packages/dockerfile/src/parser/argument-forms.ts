import { quote } from "@buildkit-ts/gotext";
import { invalid } from "../text/located-error.ts";
import { isSpace, splitFirstBlank, trimSpaceLeft } from "../text/whitespace.ts";

/** An instruction's arguments after its own syntax. */
export interface Arguments {
  readonly args: readonly string[];
  /** Whether they were a JSON array. */
  readonly json: boolean;
}

/** A JSON array of strings if it is one, else the whole text as one argument. */
export function jsonOrWhole(text: string): Arguments {
  if (text === "") return { args: [], json: false };
  const args = parseStringArray(text);
  return args === undefined ? { args: [text], json: false } : { args, json: true };
}

/** A JSON array of strings if it is one, else words split at blanks. */
export function jsonOrWords(text: string): Arguments {
  const args = parseStringArray(text);
  return args === undefined ? blankSeparated(text) : { args, json: true };
}

/** Words split at blanks; quotes mean nothing. */
export function blankSeparated(text: string): Arguments {
  return { args: text === "" ? [] : text.split(/[\t\v\f\r ]+/), json: false };
}

/** The whole text as one argument. */
export function wholeText(text: string): Arguments {
  return { args: text === "" ? [] : [text], json: false };
}

/** Words split at blanks outside quotes, quotes kept. */
export function quotedWords(text: string, escape: string): Arguments {
  return { args: splitQuoted(text, escape), json: false };
}

/** `TYPE` and a command (HEALTHCHECK). */
export function typeAndCommand(text: string): Arguments {
  let end = 0;
  while (end < text.length && !isSpace(text.charCodeAt(end))) end++;
  if (end === 0) return { args: [], json: false };
  const { args, json } = jsonOrWhole(trimSpaceLeft(text.slice(end)));
  return { args: [text.slice(0, end), ...args], json };
}

/**
 * `name=value …` or the old `name value`, as triples of name, value and separator (`=` or empty).
 *
 * @throws {BuildError} `invalid_argument` for a name without value.
 */
export function keyValues(text: string, options: { readonly instruction: string; readonly escape: string }): Arguments {
  const words = splitQuoted(text, options.escape);
  const [first] = words;
  if (first === undefined) return { args: [], json: false };
  if (!first.includes("=")) {
    const [name = "", value] = splitFirstBlank(text);
    if (value === undefined) throw invalid(`${options.instruction} must have two arguments`);
    return { args: [name, value, ""], json: false };
  }
  const args = words.flatMap((word) => {
    const at = word.indexOf("=");
    if (at < 0) throw invalid(`Syntax error - can't find = in ${quote(word)}. Must be of the form: name=value`);
    return [word.slice(0, at), word.slice(at + 1), "="];
  });
  return { args, json: false };
}

function parseStringArray(text: string): string[] | undefined {
  const trimmed = trimSpaceLeft(text);
  if (!trimmed.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  return value.map((item: unknown) => {
    if (typeof item === "string") return item;
    throw invalid("when using JSON array syntax, arrays must be comprised of strings only");
  });
}

function splitQuoted(text: string, escape: string): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    if (isSpace(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const word = takeQuotedWord(text, at, escape);
    if (word.text !== "" || word.quoted) words.push(word.text);
    at = word.end;
  }
  return words;
}

function takeQuotedWord(text: string, start: number, escape: string): { text: string; end: number; quoted: boolean } {
  let out = "";
  let mark = "";
  let quoted = false;
  let at = start;
  for (; at < text.length; at++) {
    const char = text[at] ?? "";
    if (mark === "" && isSpace(text.charCodeAt(at))) break;
    if (char === escape && mark !== "'") {
      // An escape that ends the text is dropped.
      if (at + 1 === text.length) continue;
      out += char + (text[++at] ?? "");
      continue;
    }
    if (mark === "" && (char === "'" || char === '"')) {
      mark = char;
      quoted = true;
    } else if (char === mark) mark = "";
    out += char;
  }
  return { text: out, end: at, quoted };
}
