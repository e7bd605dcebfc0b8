import type { SourceRange } from "@buildkit-ts/errdefs";
import type { SourceMap } from "@buildkit-ts/llb";

/** The lines of a place with a few around them, marked as clients print them; empty if there is no such line. */
export function printSnippet(
  { filename, data }: Pick<SourceMap, "filename" | "data">,
  ranges: readonly SourceRange[],
): string {
  const lines = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data).split("\n");
  const first = Math.min(...ranges.map(({ start }) => start.line));
  const last = Math.min(Math.max(...ranges.map(lastLine)), lines.length);
  if (ranges.length === 0 || first < 1 || first > lines.length) return "";
  const { start, end } = widen(first, last, lines.length);
  const isMarked = (line: number): boolean =>
    ranges.some((range) => range.start.line <= line && lastLine(range) >= line);
  const shown = lines
    .slice(start - 1, end)
    .map((text, i) => ` ${String(start + i).padStart(3)} | ${isMarked(start + i) ? ">>>" : "   "} ${text}\n`);
  return `${filename}:${first}\n--------------------\n${shown.join("")}--------------------\n`;
}

function lastLine({ start, end }: SourceRange): number {
  return Math.max(start.line, end.line);
}

function widen(first: number, last: number, count: number): { start: number; end: number } {
  let start = first;
  let end = last;
  const wanted = first === last ? 4 : 2;
  // Each round gives one line on both sides, and counts even where there is none left.
  for (let added = 0; added < wanted; added++) {
    if (start > 1) {
      start--;
      added++;
    }
    if (end !== count) {
      end++;
      added++;
    }
  }
  return { start, end };
}
