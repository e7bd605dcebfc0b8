import { lintDescription, lintLine } from "../lint/instruction-rules.ts";
import type { Linter } from "../lint/linter.ts";
import type { ParsedDockerfile } from "../parser/parse-dockerfile.ts";
import { type ParsedLine, rangesOf } from "../parser/parsed-line.ts";
import { invalid, locate, prefixError } from "../text/located-error.ts";
import type { ArgInstruction, Instruction, Stage } from "./instruction.ts";
import { readInstruction } from "./read-instruction.ts";

/** A Dockerfile's stages, and the ARGs before the first of them. */
export interface Stages {
  readonly stages: readonly Stage[];
  readonly globalArgs: readonly ArgInstruction[];
}

/**
 * Groups a Dockerfile's instructions into stages.
 *
 * @throws {LocatedError} `invalid_argument`: `dockerfile parse error on line N: …`.
 */
export function readStages(dockerfile: ParsedDockerfile, linter: Linter): Stages {
  const stages: (Stage & { commands: Instruction[] })[] = [];
  const globalArgs: ArgInstruction[] = [];
  for (const line of dockerfile.lines) {
    const instruction = readLine(line, linter);
    const stage = stages.at(-1);
    if (instruction.kind === "from") stages.push({ ...instruction, commands: [] });
    else if (stage !== undefined) stage.commands.push(instruction);
    else if (instruction.kind === "arg") globalArgs.push(instruction);
    else throw locate(invalid("no build stage in current context"), rangesOf(line));
  }
  return { stages, globalArgs };
}

function readLine(line: ParsedLine, linter: Linter): Instruction | Stage {
  const own = linter.forComments(line.comments);
  lintLine(line, own);
  try {
    const instruction = readInstruction(line);
    lintDescription(instruction, own);
    return instruction;
  } catch (error) {
    throw prefixError(`dockerfile parse error on line ${line.startLine}`, error);
  }
}
