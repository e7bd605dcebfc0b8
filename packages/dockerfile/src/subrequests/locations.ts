import type { SourceRange } from "@buildkit-ts/errdefs";

/** A place in one of the sources of an answer, as `pb.Location` in JSON: zeros are left out. */
export interface JsonLocation {
  readonly sourceIndex?: number;
  readonly ranges?: readonly JsonRange[];
}

/** Both ends inclusive. */
export interface JsonRange {
  readonly start: JsonPosition;
  readonly end: JsonPosition;
}

/** Lines begin with 1; columns are not known. */
export interface JsonPosition {
  readonly line?: number;
  readonly character?: number;
}

/** The JSON of a place. */
export function jsonLocation(ranges: readonly SourceRange[]): JsonLocation {
  return ranges.length === 0
    ? {}
    : { ranges: ranges.map(({ start, end }) => ({ start: position(start), end: position(end) })) };
}

function position({ line, character }: { readonly line: number; readonly character: number }): JsonPosition {
  return { ...(line !== 0 && { line }), ...(character !== 0 && { character }) };
}

/** The ranges in order, those that touch or overlap as one. */
export function mergeRanges(ranges: readonly SourceRange[]): readonly SourceRange[] {
  const merged: SourceRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.start.line - b.start.line)) {
    const last = merged.at(-1);
    if (last === undefined || range.start.line > last.end.line) merged.push(range);
    else if (range.end.line > last.end.line)
      merged[merged.length - 1] = { start: last.start, end: { ...last.end, line: range.end.line } };
  }
  return merged;
}
