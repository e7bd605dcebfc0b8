import { invalid, lineRanges, locate } from "../text/located-error.ts";
import { isSpace, trimSpace, trimSpaceLeft } from "../text/whitespace.ts";
import { DirectiveReader } from "./directives.ts";
import { type Heredoc, heredocsOfLine } from "./heredoc.ts";
import { canHoldHeredocs, type ParsedLine, readInstruction } from "./parsed-line.ts";
import { maxLineBytes, SourceLines, trimNewline } from "./source-lines.ts";

/** A Dockerfile as a list of instructions. */
export interface ParsedDockerfile {
  readonly lines: readonly ParsedLine[];
  /** The escape and continuation character. */
  readonly escape: string;
  /** Last lines of the instructions that have an empty line inside. */
  readonly emptyContinuations: readonly number[];
}

/**
 * Splits a Dockerfile into instructions.
 *
 * @throws {LocatedError} `invalid_argument` with the text clients know.
 */
export function parseDockerfile(data: Uint8Array): ParsedDockerfile {
  return new Parser(data).parse();
}

class Parser {
  readonly #source: SourceLines;
  readonly #directives = new DirectiveReader();
  readonly #lines: ParsedLine[] = [];
  readonly #emptyContinuations: number[] = [];
  #escape = "\\";
  #line = 0;
  #comments: string[] = [];

  constructor(data: Uint8Array) {
    this.#source = new SourceLines(data);
  }

  parse(): ParsedDockerfile {
    for (let text = this.#source.next(); text !== undefined; text = this.#source.next()) this.#readLine(text);
    if (this.#lines.length === 0) throw locate(invalid("file with no instructions"), lineRanges(this.#line));
    if (this.#source.tooLong)
      throw locate(invalid(`dockerfile line greater than max allowed size of ${maxLineBytes}`), lineRanges(this.#line));
    return { lines: this.#lines, escape: this.#escape, emptyContinuations: this.#emptyContinuations };
  }

  #readLine(text: string): void {
    if (isComment(text)) {
      const comment = trimSpace(text.slice(1));
      if (comment === "") this.#comments = [];
      else this.#comments.push(comment);
    }
    const trimmed = trimSpaceLeft(trimNewline(text));
    if (this.#readDirective(trimmed)) this.#comments.pop();
    this.#line++;
    const start = this.#line;
    const first = this.#continuation(isComment(trimmed) ? "" : trimmed);
    if (!first.continues && first.text === "") return;
    const logical = first.continues ? this.#joinContinuations(first.text) : first.text;
    this.#addInstruction(logical, start);
    this.#comments = [];
  }

  /** Of the line that comes next. */
  #readDirective(line: string): boolean {
    try {
      const directive = this.#directives.read(line);
      if (directive?.name === "escape") this.#setEscape(directive.value);
      return directive !== undefined;
    } catch (error) {
      throw locate(error, lineRanges(this.#line + 1));
    }
  }

  #setEscape(value: string): void {
    if (value !== "`" && value !== "\\") throw invalid(`invalid escape token '${value}' does not match \` or \\`);
    this.#escape = value;
  }

  #joinContinuations(first: string): string {
    const parts = [first];
    let hasEmpty = false;
    for (let text = this.#source.next(); text !== undefined; text = this.#source.next()) {
      const line = trimNewline(text);
      this.#readDirective(line);
      this.#line++;
      if (isComment(text)) continue;
      if (isBlank(line)) {
        hasEmpty = true;
        continue;
      }
      const part = this.#continuation(line);
      parts.push(part.text);
      if (!part.continues) break;
    }
    if (hasEmpty) this.#emptyContinuations.push(this.#line);
    return parts.join("");
  }

  /** Removes the continuation mark: an escape, itself not escaped, that only blanks follow. */
  #continuation(line: string): { text: string; continues: boolean } {
    let end = line.length;
    while (end > 0 && (line[end - 1] === " " || line[end - 1] === "\t")) end--;
    const continues = line[end - 1] === this.#escape && line[end - 2] !== this.#escape;
    return continues ? { text: line.slice(0, end - 1), continues } : { text: line, continues };
  }

  #addInstruction(text: string, startLine: number): void {
    let heredocs: Heredoc[] = [];
    try {
      const read = readInstruction(text, this.#escape);
      if (canHoldHeredocs(read) && text.includes("<<"))
        heredocs = heredocsOfLine(text).map((heredoc) => ({ ...heredoc, content: this.#readHeredoc(heredoc) }));
      this.#lines.push({ ...read, startLine, endLine: this.#line, comments: this.#comments, heredocs });
    } catch (error) {
      throw locate(error, lineRanges(startLine, this.#line));
    }
  }

  #readHeredoc(heredoc: Heredoc): string {
    const parts: string[] = [];
    for (let text = this.#source.next(); text !== undefined; text = this.#source.next()) {
      this.#line++;
      const line = trimNewline(text);
      if ((heredoc.chomp ? line.replace(/^\t+/, "") : line) === heredoc.name) return parts.join("");
      parts.push(text);
    }
    throw invalid("unterminated heredoc");
  }
}

function isBlank(line: string): boolean {
  for (let i = 0; i < line.length; i++) if (!isSpace(line.charCodeAt(i))) return false;
  return true;
}

function isComment(line: string): boolean {
  return trimSpaceLeft(line).startsWith("#");
}
