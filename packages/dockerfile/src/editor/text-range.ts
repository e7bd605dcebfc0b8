import type { SourceRange } from "@buildkit-ts/errdefs";

/** A place in a text: lines from 1, characters from 0 in UTF-16 units, as editors count them. The end is exclusive. */
export interface TextRange {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

/** A text by its lines, to find exact places in it. */
export class TextLines {
  readonly #lines: readonly string[];

  constructor(text: string) {
    this.#lines = text.split(/\r?\n/);
  }

  line(number: number): string {
    return this.#lines[number - 1] ?? "";
  }

  /** From the first character of an instruction to its last. BuildKit itself tells lines only. */
  whole(location: readonly SourceRange[]): TextRange {
    const first = location[0]?.start.line ?? 1;
    const last = Math.max(first, ...location.map(({ end }) => end.line));
    const text = this.line(first);
    const indent = text.trim() === "" ? 0 : text.length - text.trimStart().length;
    return {
      start: { line: first, character: indent },
      end: { line: last, character: this.line(last).trimEnd().length },
    };
  }

  /** Where a word stands within a range, first of all as a word of its own; undefined if it is not there. */
  find(word: string, within: TextRange): TextRange | undefined {
    if (word === "") return undefined;
    const escaped = word.replace(/[$()*+.?[\\\]^{|}/-]/g, "\\$&");
    return (
      this.match(new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`, "d"), within) ??
      this.match(new RegExp(escaped, "d"), within)
    );
  }

  /** Where a pattern, or its first group, matches within a range. The pattern needs the flag `d`. */
  match(pattern: RegExp, within: TextRange): TextRange | undefined {
    for (let line = within.start.line; line <= within.end.line; line += 1) {
      const from = line === within.start.line ? within.start.character : 0;
      const text = this.line(line).slice(from);
      const indices = pattern.exec(text)?.indices;
      const [start, end] = indices?.[1] ?? indices?.[0] ?? [];
      if (start === undefined || end === undefined) continue;
      return { start: { line, character: from + start }, end: { line, character: from + end } };
    }
    return undefined;
  }

  textOf({ start, end }: TextRange): string {
    if (start.line === end.line) return this.line(start.line).slice(start.character, end.character);
    const middle = this.#lines.slice(start.line, end.line - 1);
    return [this.line(start.line).slice(start.character), ...middle, this.line(end.line).slice(0, end.character)].join(
      "\n",
    );
  }
}
