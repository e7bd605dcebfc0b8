import type { SourceRange } from "@buildkit-ts/errdefs";
import { invalid, lineRanges } from "../text/located-error.ts";
import { trimSpaceLeft } from "../text/whitespace.ts";

/** A `# name=value` line at the head of a Dockerfile. */
export interface Directive {
  readonly name: string;
  readonly value: string;
  readonly line: number;
}

const known = new Set(["syntax", "escape", "check"]);

/** Reads the head of a file line by line; the first line that is no directive ends it. */
export class DirectiveReader {
  readonly #prefix: string;
  readonly #seen = new Set<string>();
  #line: number;
  #done = false;

  /** @param firstLine number of lines before the text, such as a shebang. */
  constructor(prefix = "#", firstLine = 0) {
    this.#prefix = prefix;
    this.#line = firstLine;
  }

  get done(): boolean {
    return this.#done;
  }

  /** @throws {BuildError} `invalid_argument` for a directive that was given already. */
  read(line: string): Directive | undefined {
    this.#line++;
    if (this.#done) return undefined;
    const found = line.startsWith(this.#prefix) ? parseAssignment(line.slice(this.#prefix.length)) : undefined;
    if (found === undefined || !known.has(found.name)) {
      this.#done = true;
      return undefined;
    }
    if (this.#seen.has(found.name)) throw invalid(`only one ${found.name} parser directive can be used`);
    this.#seen.add(found.name);
    return { ...found, line: this.#line };
  }
}

function parseAssignment(text: string): { name: string; value: string } | undefined {
  const match = /^([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*/.exec(trimSpaceLeft(text));
  if (match === null) return undefined;
  const value = trimSpaceLeft(text).slice(match[0].length);
  if (value.includes("\n")) return undefined;
  // Trimmed by hand: a lazy pattern before `\s*$` takes quadratic time for a line of blanks.
  let end = value.length;
  while (end > 0 && "\t\n\f\r ".includes(value[end - 1] ?? "x")) end--;
  if (end > 0) return { name: (match[1] ?? "").toLowerCase(), value: value.slice(0, end) };
  // `#name=<blanks>`: the last blank is the value, as the reference's pattern requires one character.
  return /[\t\f\r ]$/.test(match[0]) ? { name: (match[1] ?? "").toLowerCase(), value: match[0].slice(-1) } : undefined;
}

/** A directive's first word, its whole value and where it stands. */
export interface DirectiveUse {
  readonly reference: string;
  readonly cmdline: string;
  readonly location: readonly SourceRange[];
}

/** The `# name=` directive at the head of the file. */
export function findDirective(name: string, data: Uint8Array): DirectiveUse | undefined {
  const { text, skipped } = withoutShebang(data);
  return findIn(name, text, new DirectiveReader("#", skipped));
}

/**
 * The frontend that a file asks for: `# syntax=`, `// syntax=`, or a JSON object with the member `syntax`, so that
 * files of other languages can name theirs.
 */
export function detectSyntax(data: Uint8Array): DirectiveUse | undefined {
  const { text, skipped } = withoutShebang(data);
  return (
    findIn("syntax", text, new DirectiveReader("#", skipped)) ??
    findIn("syntax", text, new DirectiveReader("//", skipped)) ??
    syntaxMember(text, skipped)
  );
}

function findIn(name: string, text: string, reader: DirectiveReader): DirectiveUse | undefined {
  let from = 0;
  while (from < text.length && !reader.done) {
    const newline = text.indexOf("\n", from);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(from, end).replace(/\r$/, "");
    from = end + 1;
    const found = readOrStop(reader, line);
    if (found === "stop") return undefined;
    if (found?.name !== name) continue;
    const space = found.value.indexOf(" ");
    return {
      reference: space < 0 ? found.value : found.value.slice(0, space),
      cmdline: found.value,
      location: lineRanges(found.line),
    };
  }
  return undefined;
}

function readOrStop(reader: DirectiveReader, line: string): Directive | "stop" | undefined {
  try {
    return reader.read(line);
  } catch {
    // A duplicate is reported by the parser, with its line.
    return "stop";
  }
}

function syntaxMember(text: string, line: number): DirectiveUse | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const syntax = typeof value === "object" && value !== null && "syntax" in value ? value.syntax : undefined;
  return typeof syntax === "string" ? { reference: syntax, cmdline: syntax, location: lineRanges(line) } : undefined;
}

function withoutShebang(data: Uint8Array): { text: string; skipped: number } {
  const text = new TextDecoder("utf-8").decode(data);
  if (!text.startsWith("#!")) return { text, skipped: 0 };
  const newline = text.indexOf("\n");
  return { text: newline < 0 ? "" : text.slice(newline + 1), skipped: 1 };
}
