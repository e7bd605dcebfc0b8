import { emptyEnvironment } from "../shell/environment.ts";
import { expandWord } from "../shell/shell-words.ts";
import { invalid } from "../text/located-error.ts";

/** A here-document: `<<EOF`, `<<-EOF`, `<<"EOF"`. */
export interface Heredoc {
  readonly name: string;
  /** Whether variables in it are expanded: not when a part of the delimiter is quoted. */
  readonly expand: boolean;
  /** Whether leading tabs are removed (`<<-`). */
  readonly chomp: boolean;
  readonly fileDescriptor: number;
  readonly content: string;
}

/** Reads one word as the beginning of a here-document; undefined if it is none. */
export function parseHeredoc(word: string): Heredoc | undefined {
  const match = /^(\d*)<<(-?)[\t\n\f\r ]*([^<]*)$/.exec(word);
  const delimiter = match?.[3] ?? "";
  if (match === null || delimiter === "") return undefined;
  const plain = expandWord(delimiter, emptyEnvironment, { escape: "\\", skipUnset: true }).words;
  const [name] = plain;
  if (name === undefined || plain.length !== 1) return undefined;
  const raw = expandWord(delimiter, emptyEnvironment, { escape: "\\", skipUnset: true, rawQuotes: true }).words;
  if (raw.length !== 1) throw invalid(`internal lexing of heredoc produced inconsistent results: ${delimiter}`);
  return {
    name,
    expand: countQuotes(name) === countQuotes(raw[0] ?? ""),
    chomp: match[2] === "-",
    fileDescriptor: Number(match[1] ?? "") || 0,
    content: "",
  };
}

/** Like {@linkcode parseHeredoc}; a word that cannot be lexed is none. */
export function findHeredoc(word: string): Heredoc | undefined {
  if (!word.includes("<<")) return undefined;
  try {
    return parseHeredoc(word);
  } catch {
    return undefined;
  }
}

/** The here-documents that an instruction's line opens, in order. */
export function heredocsOfLine(line: string): Heredoc[] {
  return wordsOf(line)
    .map(parseHeredoc)
    .filter((heredoc) => heredoc !== undefined);
}

function wordsOf(line: string): readonly string[] {
  try {
    const options = { escape: "\\", rawQuotes: true, rawEscapes: true, skipUnset: true };
    return expandWord(line, emptyEnvironment, options).words;
  } catch {
    // The shell reports its own syntax errors; here such a line just opens no document.
    return [];
  }
}

/** The content without the tabs that begin its lines. */
export function chompHeredoc(content: string): string {
  return content.replace(/^\t+/gm, "");
}

function countQuotes(text: string): number {
  let count = 0;
  for (const char of text) if (char === "'" || char === '"') count++;
  return count;
}
