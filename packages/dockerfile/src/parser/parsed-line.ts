import type { SourceRange } from "@buildkit-ts/errdefs";
import { lineRanges } from "../text/located-error.ts";
import {
  type Arguments,
  blankSeparated,
  jsonOrWhole,
  jsonOrWords,
  keyValues,
  quotedWords,
  typeAndCommand,
  wholeText,
} from "./argument-forms.ts";
import type { Heredoc } from "./heredoc.ts";
import { splitInstruction } from "./split-instruction.ts";

/** One instruction as it is written, its arguments split by its own syntax but not yet judged. */
export interface ParsedLine {
  /** As typed, in any case. */
  readonly keyword: string;
  readonly flags: readonly string[];
  readonly args: readonly string[];
  /** Whether the arguments were a JSON array. */
  readonly json: boolean;
  /** The logical line: continuations joined, comments left out. */
  readonly original: string;
  readonly startLine: number;
  readonly endLine: number;
  /** Comments directly above. */
  readonly comments: readonly string[];
  readonly heredocs: readonly Heredoc[];
  /** Keyword of the instruction that may carry here-documents: for ONBUILD the inner one. */
  readonly innerKeyword: string;
}

type Reader = (rest: string, escape: string) => Arguments & { readonly innerKeyword?: string };

const readers: Readonly<Record<string, Reader>> = {
  add: jsonOrWords,
  arg: quotedWords,
  cmd: jsonOrWhole,
  copy: jsonOrWords,
  entrypoint: jsonOrWhole,
  env: (rest, escape) => keyValues(rest, { instruction: "ENV", escape }),
  expose: blankSeparated,
  from: blankSeparated,
  healthcheck: typeAndCommand,
  label: (rest, escape) => keyValues(rest, { instruction: "LABEL", escape }),
  maintainer: wholeText,
  onbuild: readTrigger,
  run: jsonOrWhole,
  shell: jsonOrWhole,
  stopsignal: wholeText,
  user: wholeText,
  volume: jsonOrWords,
  workdir: wholeText,
};

/** All instruction keywords, in lower case. */
export const keywords: readonly string[] = Object.keys(readers);

function readTrigger(rest: string, escape: string): Arguments & { readonly innerKeyword?: string } {
  if (rest === "") return { args: [], json: false };
  const inner = readInstruction(rest, escape);
  return { args: [inner.keyword, ...inner.args], json: inner.json, innerKeyword: inner.innerKeyword };
}

/** Reads a logical line; place, comments and here-documents are added by the caller. */
export function readInstruction(
  line: string,
  escape: string,
): Pick<ParsedLine, "keyword" | "flags" | "args" | "json" | "original" | "innerKeyword"> {
  const { keyword, flags, rest } = splitInstruction(line, escape);
  const name = keyword.toLowerCase();
  const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
  const read = reader?.(rest, escape) ?? { args: [""], json: false };
  return { keyword, flags, args: read.args, json: read.json, original: line, innerKeyword: read.innerKeyword ?? name };
}

/** Whether the line may open here-documents. */
export function canHoldHeredocs(line: Pick<ParsedLine, "innerKeyword" | "json">): boolean {
  return !line.json && ["add", "copy", "run"].includes(line.innerKeyword);
}

/** The lines that an instruction occupies. */
export function rangesOf(line: Pick<ParsedLine, "startLine" | "endLine">): SourceRange[] {
  return lineRanges(line.startLine, line.endLine);
}
