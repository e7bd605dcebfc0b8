import type { Fix } from "./diagnostic.ts";
import type { TextLines, TextRange } from "./text-range.ts";

/** What a fix is made from. */
export interface Finding {
  readonly rule: string | undefined;
  readonly message: string;
  /** All of the instruction. */
  readonly whole: TextRange;
  readonly text: TextLines;
}

/** The place that a message is about, and what could be written there instead. */
export interface Located {
  readonly range: TextRange;
  readonly fixes: readonly Fix[];
}

type Locate = (finding: Finding) => Located | undefined;

function replacing(range: TextRange | undefined, newText: string | undefined, title?: string): Located | undefined {
  if (range === undefined) return undefined;
  if (newText === undefined) return { range, fixes: [] };
  return { range, fixes: [{ title: title ?? `Write ${newText}`, edits: [{ range, newText }] }] };
}

/** Finds the quoted word of a message, and changes it by a function. */
function quotedWord(pattern: RegExp, change?: (word: string) => string): Locate {
  return ({ message, whole, text }) => {
    const word = pattern.exec(message)?.[1];
    return word === undefined ? undefined : replacing(text.find(word, whole), change?.(word));
  };
}

/** `'wrong' … (did you mean right?)`, of rules and errors alike. */
const didYouMean: Locate = ({ message, whole, text }) => {
  const [, before = "", right] = /^(.*) \(did you mean (.+)\?\)/s.exec(message) ?? [];
  if (right === undefined) return undefined;
  const wrong = /(\S+)$/.exec(before)?.[1]?.replace(/^["'$]+|["':]+$/g, "") ?? "";
  const bare = right.replace(/^[$"']+|["']+$/g, "");
  const named =
    text.find(wrong, whole) ?? text.find(/["']([^"']+)["']/.exec(before)?.[1]?.replace(/^\$/, "") ?? "", whole);
  // Flags are suggested without their dashes.
  return replacing(named, wrong.startsWith("--") && !bare.startsWith("--") ? `--${bare}` : bare);
};

/** An instruction rewritten as a whole; the arguments are those of its only line. */
function rewritten(change: (keyword: string, rest: string) => string | undefined, title: string): Locate {
  return ({ whole, text }) => {
    if (whole.start.line !== whole.end.line) return undefined;
    const [, keyword = "", rest = ""] = /^(\S+)\s+(.*)$/s.exec(text.textOf(whole)) ?? [];
    return replacing(whole, change(keyword, rest), title);
  };
}

const shellSyntax = /[$&|;<>()`\\"'*?[\]#~=%{}!\n]/;

function asJson(keyword: string, rest: string): string {
  const words = shellSyntax.test(rest) ? ["/bin/sh", "-c", rest] : rest.trim().split(/\s+/);
  return `${keyword} ${JSON.stringify(words).replaceAll('","', '", "')}`;
}

function asPair(keyword: string, rest: string): string | undefined {
  const [, key, value = ""] = /^(\S+)\s+(.*)$/.exec(rest) ?? [];
  if (key === undefined) return undefined;
  return `${keyword} ${key}=${/^[\w./:@-]+$/.test(value) ? value : `"${value.replaceAll('"', '\\"')}"`}`;
}

const emptyLine: Locate = ({ whole, text }) => {
  // The rule tells the line behind.
  let { line } = whole.start;
  while (line > 1 && text.line(line).trim() !== "") line -= 1;
  const start = { line, character: 0 };
  const edit = { range: { start, end: { line: line + 1, character: 0 } }, newText: "" };
  const range = { start, end: { line, character: text.line(line).length } };
  return { range, fixes: [{ title: "Remove the empty line", edits: [edit] }] };
};

const casing: Locate = ({ message, whole, text }) => {
  const [, word = "", wanted] = /^Command '(.+)' should match .* \((\w+)\)$/.exec(message) ?? [];
  return replacing(text.find(word, whole), wanted === "uppercase" ? word.toUpperCase() : word.toLowerCase());
};

const asKeyword: Locate = ({ message, whole, text }) => {
  const [, as = "", from = ""] = /^'([^']+)' and '([^']+)'/.exec(message) ?? [];
  return replacing(text.find(as, whole), from === from.toUpperCase() ? as.toUpperCase() : as.toLowerCase());
};

const platformFlag: Locate = ({ whole, text }) =>
  replacing(text.match(/--platform=\S+\s*/d, whole), "", "Remove --platform");

const byRule: Readonly<Record<string, Locate>> = {
  StageNameCasing: quotedWord(/^Stage name '(.+)' should/, (name) => name.toLowerCase()),
  FromAsCasing: asKeyword,
  NoEmptyContinuation: emptyLine,
  ConsistentInstructionCasing: casing,
  DuplicateStageName: quotedWord(/^Duplicate stage name "(.+)",/),
  ReservedStageName: quotedWord(/reserved stage "(.+)"$/),
  JSONArgsRecommended: rewritten(asJson, "Write the arguments as JSON"),
  MaintainerDeprecated: rewritten(
    (_keyword, rest) => `LABEL org.opencontainers.image.authors=${JSON.stringify(rest.replace(/^"(.*)"$/, "$1"))}`,
    "Use a label",
  ),
  LegacyKeyValueFormat: rewritten(asPair, "Write key=value"),
  WorkdirRelativePath: quotedWord(/^Relative workdir "(.+)" can/, (path) => `/${path.replace(/^(?:\.\/)+/, "")}`),
  RedundantTargetPlatform: platformFlag,
  FromPlatformFlagConstDisallowed: platformFlag,
  SecretsUsedInArgOrEnv: quotedWord(/ "(.+)"\)$/),
  InvalidDefaultArgInFrom: quotedWord(/value for ARG (.+) results/),
  CopyIgnoredFile: quotedWord(/ file "(.+)" that is excluded/),
  ExposeProtoCasing: quotedWord(/^Defined protocol '(.+)' in/, (port) => port.toLowerCase()),
  ExposeInvalidFormat: quotedWord(/found '(.+)'$/, (port) => port.slice(port.lastIndexOf(":") + 1)),
  InvalidBaseImagePlatform: quotedWord(/^Base image (\S+) was/),
  UndefinedVar: quotedWord(/variable '\$(.+)'/),
  UndefinedArgInFrom: quotedWord(/argument '(.+)' is/),
};

/** Words that an error names: an instruction, a flag, a stage, a value, a quoted text (and not what an apostrophe ends). */
const namedByError: Locate = ({ message, whole, text }) => {
  const named = /(?:instruction:? |flag:? |specified: |value for \w+: |(?<!\w)["'])([^"'\s]*[^"'\s,:])/g;
  for (const [, word = ""] of message.matchAll(named)) {
    const range = text.find(word.replace(/^\$/, ""), whole);
    if (range !== undefined) return { range, fixes: [] };
  }
  return undefined;
};

/** The exact place of a finding, and how it could be mended. Without either, the place is the whole instruction. */
export function locateFinding(finding: Finding): Located {
  const known = finding.rule === undefined ? namedByError : byRule[finding.rule];
  return didYouMean(finding) ?? known?.(finding) ?? { range: finding.whole, fixes: [] };
}
