import type { FailureDetails } from "@buildkit-ts/client";

type SourceExcerpt = FailureDetails["sources"][number];

/** The lines of a source file around a failure, those concerned marked. Empty if there is nothing to show. */
export function formatExcerpt({ file, ranges }: SourceExcerpt): string {
  const lines = Buffer.from(file.data).toString("utf8").split("\n");
  const first = Math.min(...ranges.map((range) => range.start.line));
  let last = Math.max(0, ...ranges.map((range) => Math.max(range.start.line, range.end.line)));
  if (ranges.length === 0 || first < 1 || first > lines.length) return "";
  last = Math.min(last, lines.length);
  let start = first;
  const wanted = start === last ? 4 : 2;
  for (let padded = 0; padded < wanted; padded += 1) {
    if (start > 1) {
      start -= 1;
      padded += 1;
    }
    if (last !== lines.length) {
      last += 1;
      padded += 1;
    }
  }
  let text = `${file.filename}:${first}\n--------------------\n`;
  for (let line = start; line <= last; line += 1) {
    const isMarked = ranges.some(
      (range) => range.start.line <= line && Math.max(range.start.line, range.end.line) >= line,
    );
    text += ` ${String(line).padStart(3)} | ${isMarked ? ">>>" : "   "} ${lines[line - 1] ?? ""}\n`;
  }
  return `${text}--------------------\n`;
}
