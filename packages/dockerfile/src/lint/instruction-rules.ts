import type { Instruction, Stage } from "../instructions/instruction.ts";
import type { ParsedLine } from "../parser/parsed-line.ts";
import { rangesOf } from "../parser/parsed-line.ts";
import type { Linter } from "./linter.ts";
import * as rules from "./rules.ts";

/** Rules about how a line is written, before its arguments are judged. */
export function lintLine(line: ParsedLine, linter: Linter): void {
  const keyword = line.keyword.toLowerCase();
  const location = rangesOf(line);
  if (keyword === "maintainer") linter.report(rules.maintainerDeprecated, location);
  if (keyword !== "from") return;
  const [, as, name] = line.args;
  if (name !== undefined && line.args.length === 3 && name !== name.toLowerCase())
    linter.report(rules.stageNameCasing, location, name);
  if (as !== undefined && line.args.length >= 3 && !sameCasing(line.keyword, as))
    linter.report(rules.fromAsCasing, location, line.keyword, as);
}

function sameCasing(from: string, as: string): boolean {
  if (from === from.toLowerCase()) return as === as.toLowerCase();
  // A keyword in mixed case has a rule of its own.
  return from !== from.toUpperCase() || as === as.toUpperCase();
}

/** Rules about descriptions above FROM and ARG. */
export function lintDescription(instruction: Instruction | Stage, linter: Linter): void {
  if (instruction.kind === "from" && instruction.stageName !== "")
    checkDescription(instruction, { keyword: "FROM", names: [instruction.stageName] }, linter);
  if (instruction.kind === "arg")
    checkDescription(instruction, { keyword: "ARG", names: instruction.args.map(({ key }) => key) }, linter);
}

function checkDescription(
  instruction: Instruction | Stage,
  what: { readonly keyword: string; readonly names: readonly string[] },
  linter: Linter,
): void {
  const last = instruction.comments.at(-1);
  if (last === undefined || what.names.includes(last.split(" ")[0] ?? "")) return;
  const example = what.names.length > 1 ? "<arg_key>" : (what.names[0] ?? "");
  linter.report(rules.invalidDefinitionDescription, instruction.location, what.keyword, example);
}

/** Rules about all stages together. */
export function lintStages(stages: readonly Stage[], linter: Linter): void {
  lintStageNames(stages, linter);
  const uses = stages.flatMap((stage) => [stage, ...stage.commands]);
  const lower = uses.filter(({ name }) => name === name.toLowerCase()).length;
  const upper = uses.filter(({ name }) => name === name.toUpperCase()).length;
  const isLower = lower > upper;
  for (const { name, location } of uses)
    if (name !== (isLower ? name.toLowerCase() : name.toUpperCase()))
      linter.report(rules.consistentInstructionCasing, location, name, isLower ? "lowercase" : "uppercase");
}

function lintStageNames(stages: readonly Stage[], linter: Linter): void {
  const seen = new Set<string>();
  for (const { stageName, location } of stages) {
    if (stageName === "") continue;
    if (stageName === "context" || stageName === "scratch") linter.report(rules.reservedStageName, location, stageName);
    if (seen.has(stageName)) linter.report(rules.duplicateStageName, location, stageName);
    seen.add(stageName);
  }
}
