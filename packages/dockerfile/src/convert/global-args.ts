import { parseReference } from "@buildkit-ts/oci";
import type { ArgInstruction, Stage } from "../instructions/instruction.ts";
import type { Linter } from "../lint/linter.ts";
import { invalidDefaultArgInFrom } from "../lint/rules.ts";
import type { EnvironmentList } from "../shell/environment.ts";
import { expandWord } from "../shell/shell-words.ts";
import { locate } from "../text/located-error.ts";
import type { ArgInfo } from "./stage-outline.ts";

/** The variables of the global scope, and what is known of those that the file declares. */
export interface GlobalArgs {
  readonly values: EnvironmentList;
  readonly declared: ReadonlyMap<string, ArgInfo>;
}

/** What the ARGs before the first FROM are read with. */
export interface GlobalArgsOptions {
  readonly predefined: EnvironmentList;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly escape: string;
}

/** Evaluates the ARGs before the first FROM, in order. */
export function readGlobalArgs(instructions: readonly ArgInstruction[], options: GlobalArgsOptions): GlobalArgs {
  let values = options.predefined;
  const declared = new Map<string, ArgInfo>();
  for (const { args, location } of instructions)
    for (const arg of args) {
      const dependencies = new Set<string>();
      let value = arg.value;
      if (Object.hasOwn(options.buildArgs, arg.key)) value = options.buildArgs[arg.key];
      else if (value !== undefined) {
        const expanded = expandAt(value, { values, escape: options.escape, location });
        value = expanded.result;
        for (const name of expanded.matched) if (name !== arg.key) dependencies.add(name);
        // Redefined by itself, it still depends on what its first value did.
        if (expanded.matched.has(arg.key))
          for (const name of declared.get(arg.key)?.dependencies ?? []) dependencies.add(name);
      }
      if (value !== undefined) values = values.with(arg.key, value);
      const { key, description } = arg;
      declared.set(key, { key, description, location, dependencies, value: value ?? "" });
    }
  return { values, declared };
}

function expandAt(
  text: string,
  at: { readonly values: EnvironmentList; readonly escape: string; readonly location: ArgInstruction["location"] },
): ReturnType<typeof expandWord> {
  try {
    return expandWord(text, at.values, { escape: at.escape });
  } catch (error) {
    throw locate(error, at.location);
  }
}

/** Warns of bases that are no valid name when no build argument is given. */
export function lintDefaultBases(
  stages: readonly Stage[],
  options: { readonly args: readonly ArgInstruction[]; readonly linter: Linter } & Omit<GlobalArgsOptions, "buildArgs">,
): void {
  try {
    const { values } = readGlobalArgs(options.args, { ...options, buildArgs: {} });
    for (const stage of stages) {
      const { result } = expandWord(stage.baseName, values, { escape: options.escape });
      if (!isReference(result)) options.linter.report(invalidDefaultArgInFrom, stage.location, stage.baseName);
    }
  } catch {
    // What fails here fails again right after, where it is reported as the error that it is.
  }
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}
