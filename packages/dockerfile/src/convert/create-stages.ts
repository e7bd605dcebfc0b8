import { type Platform, parsePlatform } from "@buildkit-ts/oci";
import type { Stage } from "../instructions/instruction.ts";
import type { Linter } from "../lint/linter.ts";
import * as rules from "../lint/rules.ts";
import type { EnvironmentList } from "../shell/environment.ts";
import { type Expansion, expandWord } from "../shell/shell-words.ts";
import { invalid, locate, prefixError, rewordError } from "../text/located-error.ts";
import { suggest, suggestion } from "../text/suggest.ts";
import { BuildStage } from "./build-stage.ts";
import { followedPaths } from "./context-paths.ts";
import type { ConvertSettings, ConvertWorld } from "./convert-options.ts";
import { StageList } from "./stage-list.ts";
import { type ArgInfo, StageOutline } from "./stage-outline.ts";

/** What stages are created with. */
export interface CreateContext {
  readonly settings: ConvertSettings;
  readonly world: ConvertWorld;
  readonly linter: Linter;
  readonly escape: string;
  readonly globalArgs: EnvironmentList;
  readonly declaredArgs: ReadonlyMap<string, ArgInfo>;
}

/** Makes the list of stages from what was parsed: bases and platforms expanded, named contexts found. */
export function createStages(stages: readonly Stage[], context: CreateContext): StageList {
  const list = new StageList();
  for (const [index, stage] of stages.entries()) {
    const created = createStage(stage, index, context);
    list.add(created);
    finishStage(created, context);
  }
  return list;
}

function createStage(stage: Stage, index: number, context: CreateContext): BuildStage {
  const linter = context.linter.forComments(stage.comments);
  const base = expandBase(stage, linter, context);
  const outline = new StageOutline();
  for (const [key, info] of context.declaredArgs) outline.args.set(key, info);
  const build = new BuildStage({ ...stage, baseName: base.result }, { outline });
  const platform = stage.platform === "" ? undefined : expandPlatform(stage, linter, context);
  build.platform = platform?.platform;
  if (stage.stageName === "") build.displayName = `stage-${index}`;
  else build.namedContext = namedContextFor(build, context);
  build.fromArgs = [...base.matched, ...(platform?.matched ?? [])];
  return build;
}

function finishStage(build: BuildStage, context: CreateContext): void {
  if (build.namedContext !== undefined) {
    // The client's context stands in for the stage, whatever that was built on.
    build.base = undefined;
    return;
  }
  for (const name of build.fromArgs) build.outline.usedArgs.add(name);
  const hasBaseStep = build.baseName !== "scratch" && build.base === undefined;
  const steps = build.stage.commands.filter(({ kind }) => ["add", "copy", "run", "workdir"].includes(kind));
  build.stepTotal = steps.length + (hasBaseStep ? 1 : 0);
  build.ignoresCache = context.settings.isNoCache(build.stage.stageName);
}

function namedContextFor(build: BuildStage, { settings, world }: CreateContext): BuildStage["namedContext"] {
  const name = build.stage.stageName;
  if (name === "scratch" || name === "context") return undefined;
  return world.namedContext?.(name, {
    platform: build.platform ?? settings.targetPlatform,
    followPaths: () => followedPaths(build.paths),
  });
}

function expandBase(stage: Stage, linter: Linter, context: CreateContext): Expansion {
  try {
    const expansion = expandWord(stage.baseName, context.globalArgs, { escape: context.escape });
    reportUndeclared(stage, { expansion, linter }, context);
    if (expansion.result === "") throw invalid(`base name (${stage.baseName}) should not be blank`);
    return expansion;
  } catch (error) {
    throw locate(error, stage.location);
  }
}

function reportUndeclared(
  stage: Stage,
  { expansion, linter }: { readonly expansion: Expansion; readonly linter: Linter },
  context: CreateContext,
): void {
  if (expansion.unmatched.size === 0) return;
  const known = new Set([...context.declaredArgs.keys(), ...context.globalArgs.keys()]);
  for (const name of expansion.unmatched)
    if (!known.has(name)) linter.report(rules.undefinedArgInFrom, stage.location, name, suggest(name, known) ?? "");
}

function expandPlatform(
  stage: Stage,
  linter: Linter,
  context: CreateContext,
): { platform: Platform; matched: ReadonlySet<string> } {
  const expansion = expandPlatformText(stage, context);
  reportUndeclared(stage, { expansion, linter }, context);
  lintPlatform(stage, { expansion, linter }, context.globalArgs);
  if (expansion.result === "") {
    const error = invalid(`empty platform value from expression ${stage.platform}`);
    throw withSuggestion(locate(error, stage.location), expansion, context);
  }
  try {
    return { platform: parsePlatform(expansion.result), matched: expansion.matched };
  } catch (error) {
    const hinted = withSuggestion(locate(error, stage.location), expansion, context);
    throw locate(prefixError(`failed to parse platform ${stage.platform}`, hinted), stage.location);
  }
}

function expandPlatformText(stage: Stage, context: CreateContext): Expansion {
  try {
    return expandWord(stage.platform, context.globalArgs, { escape: context.escape });
  } catch (error) {
    throw locate(prefixError("failed to process arguments for platform ", error), stage.location);
  }
}

function withSuggestion(error: Error, expansion: Expansion, context: CreateContext): Error {
  for (const name of expansion.unmatched) {
    const hint = suggestion(name, context.globalArgs.keys());
    if (hint !== "") return rewordError(error, (message) => message + hint);
  }
  return error;
}

function lintPlatform(
  stage: Stage,
  { expansion, linter }: { readonly expansion: Expansion; readonly linter: Linter },
  globalArgs: EnvironmentList,
): void {
  const { matched, unmatched, result } = expansion;
  const onlyTarget = matched.size === 1 && unmatched.size === 0 && matched.has("TARGETPLATFORM");
  if (onlyTarget && result === globalArgs.get("TARGETPLATFORM"))
    linter.report(rules.redundantTargetPlatform, stage.location, stage.platform);
  if (matched.size > 0 || unmatched.size > 0) return;
  const platform = tryParse(result);
  // A stage that is named after its platform is meant for that one.
  if (platform === undefined || [platform.os, platform.architecture].some((part) => stage.stageName.includes(part)))
    return;
  linter.report(rules.fromPlatformFlagConstDisallowed, stage.location, result);
}

function tryParse(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch {
    return undefined;
  }
}
