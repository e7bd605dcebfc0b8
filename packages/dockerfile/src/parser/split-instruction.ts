import { splitFirstBlank, trimSpace } from "../text/whitespace.ts";

/** An instruction's line in three parts. */
export interface SplitInstruction {
  readonly keyword: string;
  /** Flags in front of the arguments, with their dashes, unquoted. */
  readonly flags: readonly string[];
  readonly rest: string;
}

/** Splits `KEYWORD --flag… rest`. */
export function splitInstruction(line: string, escape: string): SplitInstruction {
  const [keyword = "", args] = splitFirstBlank(trimSpace(line));
  if (args === undefined) return { keyword, flags: [], rest: "" };
  const bytes = Buffer.from(args, "utf8");
  if (bytes.length === args.length) {
    const { flags, rest } = takeFlags(args, escape);
    return { keyword, flags, rest: trimSpace(rest) };
  }
  // The reference reads flags byte by byte, so a flag's non-ASCII text comes out as Latin-1: kept, for equal digests.
  const { flags, rest } = takeFlags(bytes.toString("latin1"), escape);
  return { keyword, flags, rest: trimSpace(Buffer.from(rest, "latin1").toString("utf8")) };
}

function isByteSpace(char: string): boolean {
  return char === " " || (char >= "\t" && char <= "\r") || char === "\x85" || char === "\xa0";
}

function takeFlags(text: string, escape: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isByteSpace(text[at] ?? "")) at++;
    if (at >= text.length) return { flags, rest: "" };
    if (!text.startsWith("--", at)) return { flags, rest: text.slice(at) };
    const word = takeWord(text, at, escape);
    at = word.end;
    if (word.text === "--") return { flags, rest: text.slice(at) };
    if (word.text !== "" || word.quoted) flags.push(word.text);
  }
}

function takeWord(text: string, start: number, escape: string): { text: string; end: number; quoted: boolean } {
  let out = "";
  let quoteMark = "";
  let quoted = false;
  let at = start;
  for (; at < text.length; at++) {
    let char = text[at] ?? "";
    if (quoteMark === "" && isByteSpace(char)) break;
    if (quoteMark === "" && (char === "'" || char === '"')) {
      quoteMark = char;
      quoted = true;
      continue;
    }
    if (char === quoteMark) {
      quoteMark = "";
      continue;
    }
    if (char === escape) {
      at++;
      if (at === text.length) break;
      char = text[at] ?? "";
    }
    out += char;
  }
  return { text: out, end: at, quoted };
}
