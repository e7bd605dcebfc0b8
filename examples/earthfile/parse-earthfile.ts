import type { BuildFile } from "@buildkit-ts/frontend";

const commands = ["FROM", "WORKDIR", "ENV", "ARG", "COPY", "RUN", "SAVE", "ENTRYPOINT", "CMD"] as const;

/** One command of a target, with its words. */
export interface Command {
  readonly name: (typeof commands)[number];
  /** All after the name, as it stands. */
  readonly text: string;
  readonly words: readonly string[];
  readonly first: number;
  readonly last: number;
}

/** Commands by the target that they belong to; those before the first target are the ones that all targets begin with. */
export interface Earthfile {
  readonly base: readonly Command[];
  readonly targets: ReadonlyMap<string, { readonly line: number; readonly commands: readonly Command[] }>;
}

/** @throws {SourceError} with the line that cannot be read. */
export function parseEarthfile(file: BuildFile): Earthfile {
  const base: Command[] = [];
  const targets = new Map<string, { line: number; commands: Command[] }>();
  let current = base;
  for (const { text, first, last } of logicalLines(file.text)) {
    const [, target] = /^([a-z][\w-]*):$/.exec(text) ?? [];
    if (target !== undefined) {
      if (targets.has(target)) throw file.error(`Target "+${target}" is there twice`, { first });
      current = [];
      targets.set(target, { line: first, commands: current });
      continue;
    }
    const [word = "", ...rest] = text.trim().split(/\s+/);
    if (word === "VERSION") continue;
    const name = commands.find((known) => known === word);
    if (name === undefined)
      throw file.error(`Unknown command ${word}, expected one of ${commands.join(", ")}`, { first, last });
    current.push({ name, text: text.trim().slice(word.length).trim(), words: rest, first, last });
  }
  return { base, targets };
}

/** Lines without comments, those that end with a backslash joined. */
function* logicalLines(
  text: string,
): Generator<{ readonly text: string; readonly first: number; readonly last: number }> {
  let joined = "";
  let first = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*#/.test(line) || (joined === "" && line.trim() === "")) continue;
    if (joined === "") first = index + 1;
    joined += line.replace(/\\\s*$/, "");
    if (/\\\s*$/.test(line)) continue;
    yield { text: joined.trimEnd(), first, last: index + 1 };
    joined = "";
  }
}
