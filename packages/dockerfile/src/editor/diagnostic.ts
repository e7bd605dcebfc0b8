import type { TextRange } from "./text-range.ts";

/** A change that an editor can offer. */
export interface Fix {
  /** What it does, such as `Write 'BUILDER' as 'builder'`. */
  readonly title: string;
  /** Of places that do not overlap. */
  readonly edits: readonly { readonly range: TextRange; readonly newText: string }[];
}

/** Something that an editor underlines. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  /** The lint rule; undefined for an error. */
  readonly rule: string | undefined;
  readonly message: string;
  /** Where the rule is explained; empty if nowhere. */
  readonly url: string;
  /** The words in question if they can be told, else the whole instruction. */
  readonly range: TextRange;
  readonly fixes: readonly Fix[];
}

/** The text after all edits of a fix. */
export function applyFix(text: string, fix: Fix): string {
  const starts = [0];
  for (const { index } of text.matchAll(/\n/g)) starts.push(index + 1);
  const offset = ({ line, character }: TextRange["start"]): number => (starts[line - 1] ?? text.length) + character;
  const edits = fix.edits.toSorted((a, b) => offset(b.range.start) - offset(a.range.start));
  return edits.reduce(
    (changed, { range, newText }) => changed.slice(0, offset(range.start)) + newText + changed.slice(offset(range.end)),
    text,
  );
}
