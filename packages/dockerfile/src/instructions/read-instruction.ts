import { keywords, type ParsedLine, rangesOf } from "../parser/parsed-line.ts";
import { invalid, locate } from "../text/located-error.ts";
import { suggestion } from "../text/suggest.ts";
import { readCmd, readEntrypoint, readRun, readShell } from "./command-line.ts";
import { readFrom } from "./from.ts";
import type { Instruction, Stage } from "./instruction.ts";
import { baseOf } from "./instruction-base.ts";
import {
  readArg,
  readExpose,
  readHealthcheck,
  readMaintainer,
  readOnbuild,
  readPairs,
  readStopsignal,
  readUser,
  readVolume,
  readWorkdir,
} from "./metadata-instructions.ts";
import { readAdd, readCopy } from "./transfer.ts";

const readers: Readonly<Record<string, (line: ParsedLine) => Instruction | Stage>> = {
  add: readAdd,
  arg: readArg,
  cmd: readCmd,
  copy: readCopy,
  entrypoint: readEntrypoint,
  env: (line) => ({ pairs: readPairs(line, "ENV"), ...baseOf(line), kind: "env" }),
  expose: readExpose,
  from: readFrom,
  healthcheck: readHealthcheck,
  label: (line) => ({ pairs: readPairs(line, "LABEL"), ...baseOf(line), kind: "label" }),
  maintainer: readMaintainer,
  onbuild: readOnbuild,
  run: readRun,
  shell: readShell,
  stopsignal: readStopsignal,
  user: readUser,
  volume: readVolume,
  workdir: readWorkdir,
};

/**
 * Judges one line.
 *
 * @throws {LocatedError} `invalid_argument` for an unknown keyword or wrong arguments.
 */
export function readInstruction(line: ParsedLine): Instruction | Stage {
  const keyword = line.keyword.toLowerCase();
  const reader = Object.hasOwn(readers, keyword) ? readers[keyword] : undefined;
  try {
    if (reader !== undefined) return reader(line);
    throw invalid(`unknown instruction: ${line.keyword}${suggestion(line.keyword, likelyFirst(keyword), true)}`);
  } catch (error) {
    throw locate(error, rangesOf(line));
  }
}

/** Of instructions that are as near, the one with the same first letter is meant: RUN by RNU, not ENV. */
function likelyFirst(keyword: string): string[] {
  const isLikely = (name: string): boolean => name.startsWith(keyword.slice(0, 1));
  const sorted = [...keywords.filter(isLikely), ...keywords.filter((name) => !isLikely(name))];
  return sorted.map((name) => name.toUpperCase());
}
