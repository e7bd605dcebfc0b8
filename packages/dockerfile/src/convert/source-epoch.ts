import { git, http, type State } from "@buildkit-ts/llb";
import { parseDigest } from "@buildkit-ts/oci";
import type { AddInstruction, ArgInstruction, Stage } from "../instructions/instruction.ts";
import type { EnvironmentList } from "../shell/environment.ts";
import { expandWord } from "../shell/shell-words.ts";
import { invalid, locate } from "../text/located-error.ts";
import type { ConvertSettings, ConvertWorld } from "./convert-options.ts";
import { fileNameOf } from "./dispatch-transfer.ts";
import { parseGitRef } from "./git-ref.ts";

/** What a SOURCE_DATE_EPOCH is resolved with. */
export interface EpochContext {
  readonly settings: ConvertSettings;
  readonly world: ConvertWorld;
  readonly stages: readonly Stage[];
  readonly globalArgs: EnvironmentList;
  readonly escape: string;
}

/**
 * The time that SOURCE_DATE_EPOCH means, in seconds: a number, `context`, a named context, or a stage that is
 * nothing but one remote ADD.
 */
export async function resolveEpoch(
  value: string,
  context: EpochContext,
  options: { readonly signal: AbortSignal },
): Promise<bigint | undefined> {
  if (value === "") return undefined;
  if (/^[-+]?\d{1,18}$/.test(value)) return BigInt(value.replace(/^\+/, ""));
  const source = await epochSource(value, context, options);
  if (source === undefined) return undefined;
  return await context.world.sourceEpoch?.(source, options);
}

async function epochSource(
  value: string,
  context: EpochContext,
  options: { readonly signal: AbortSignal },
): Promise<{ state: State; logName: string } | undefined> {
  const { world, stages } = context;
  if (value === "context") {
    // A directory of the client has no time of its own.
    const state = await world.remoteContext?.(options);
    return state && { state, logName: "[internal] resolve main build context metadata" };
  }
  const named = world.namedContext?.(value, { platform: undefined, followPaths: () => undefined });
  if (named !== undefined) {
    const { state } = await named.load(options);
    return { state, logName: `[internal] resolve SOURCE_DATE_EPOCH named context ${value}` };
  }
  const stage = stages.find(({ stageName }) => stageName.toLowerCase() === value.toLowerCase());
  if (stage === undefined) throw invalid(`invalid SOURCE_DATE_EPOCH: ${value}`);
  try {
    const logName = `[internal] resolve SOURCE_DATE_EPOCH source stage ${stage.stageName}`;
    return { state: stageSource(stage, context), logName };
  } catch (error) {
    throw locate(error, stage.location);
  }
}

function stageSource(stage: Stage, context: EpochContext): State {
  let environment = context.globalArgs.without("SOURCE_DATE_EPOCH");
  const { escape } = context;
  if (expandWord(stage.baseName, environment, { escape }).result !== "scratch")
    throw invalid("SOURCE_DATE_EPOCH stage must use FROM scratch");
  const sources: State[] = [];
  for (const instruction of stage.commands) {
    if (instruction.kind === "arg") environment = declare(instruction, environment, context);
    else if (instruction.kind === "add") sources.push(remoteSource(instruction, environment, escape));
    else
      throw invalid(
        `SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported ${instruction.name} instruction`,
      );
  }
  const [source] = sources;
  if (source === undefined || sources.length !== 1)
    throw invalid("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD");
  return source;
}

function declare(
  { args }: ArgInstruction,
  environment: EnvironmentList,
  { settings, escape }: EpochContext,
): EnvironmentList {
  let declared = environment;
  for (const { key, value } of args) {
    const given = Object.hasOwn(settings.buildArgs, key) ? settings.buildArgs[key] : undefined;
    if (given !== undefined) declared = declared.with(key, given);
    else if (value !== undefined) declared = declared.with(key, expandWord(value, declared, { escape }).result);
  }
  return declared;
}

function remoteSource(add: AddInstruction, environment: EnvironmentList, escape: string): State {
  const [first] = add.sources;
  if (first === undefined || add.sources.length !== 1 || add.inline.length > 0)
    throw invalid("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source");
  const source = expandWord(first, environment, { escape }).result;
  const checksum = add.checksum === "" ? "" : expandWord(add.checksum, environment, { escape }).result;
  const repository = parseGitRef(source);
  if (repository === undefined && /^https?:\/\//.test(source))
    return http(source, {
      filename: fileNameOf(source),
      ...(checksum !== "" && { checksum: parseDigest(checksum) }),
    });
  if (repository === undefined || repository.looksLocal)
    throw invalid("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD");
  return git(repository.remote, {
    ref: repository.ref,
    subdir: repository.subdir,
    keepGitDir: add.keepGitDir === true || repository.keepGitDir === true,
    checksum: checksum || repository.checksum,
    ...(repository.submodules === false && { skipSubmodules: true }),
  });
}
