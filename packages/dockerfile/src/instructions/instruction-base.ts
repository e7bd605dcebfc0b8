import type { SourceRange } from "@buildkit-ts/errdefs";
import { type ParsedLine, rangesOf } from "../parser/parsed-line.ts";
import { invalid } from "../text/located-error.ts";
import { trimSpace } from "../text/whitespace.ts";

/** What every instruction takes over from its line. */
export function baseOf(line: ParsedLine): {
  name: string;
  code: string;
  location: readonly SourceRange[];
  comments: readonly string[];
} {
  return { name: line.keyword, code: trimSpace(line.original), location: rangesOf(line), comments: line.comments };
}

/** The text of the comment `# <name> <description>`, or empty. */
export function descriptionFor(comments: readonly string[], name: string): string {
  if (name === "") return "";
  return comments.find((comment) => comment.startsWith(`${name} `))?.slice(name.length + 1) ?? "";
}

/** @throws {BuildError} `invalid_argument` without arguments. */
export function requireArguments(line: ParsedLine, instruction: string): void {
  if (line.args.length === 0) throw invalid(`${instruction} requires at least one argument`);
}

/** The only argument. */
export function onlyArgument(line: ParsedLine, instruction: string): string {
  const [only] = line.args;
  if (only === undefined || line.args.length !== 1) throw invalid(`${instruction} requires exactly one argument`);
  return only;
}
