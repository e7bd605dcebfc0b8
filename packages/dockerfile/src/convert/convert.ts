import { parseBool } from "@buildkit-ts/gotext";
import { local, type MarshalOptions, type State } from "@buildkit-ts/llb";
import { hostPlatform, normalizePlatform, type Platform } from "@buildkit-ts/oci";
import { readStages } from "../instructions/read-stages.ts";
import { lintStages } from "../lint/instruction-rules.ts";
import { parseLintOptions } from "../lint/lint-options.ts";
import { Linter } from "../lint/linter.ts";
import { noEmptyContinuation } from "../lint/rules.ts";
import { findDirective } from "../parser/directives.ts";
import { type ParsedDockerfile, parseDockerfile } from "../parser/parse-dockerfile.ts";
import type { EnvironmentList } from "../shell/environment.ts";
import { splitVariable } from "../shell/environment.ts";
import { invalid, lineRanges, locate, prefixError } from "../text/located-error.ts";
import { suggestion } from "../text/suggest.ts";
import { type BuildStage, reachableFrom } from "./build-stage.ts";
import { followedPaths } from "./context-paths.ts";
import type { ConvertSettings, ConvertWorld } from "./convert-options.ts";
import { createStages } from "./create-stages.ts";
import type { DispatchContext } from "./dispatch-context.ts";
import { dispatchInstruction } from "./dispatch-instruction.ts";
import { setWorkdir } from "./dispatch-metadata.ts";
import { lintDefaultBases, readGlobalArgs } from "./global-args.ts";
import { IgnoreMatcher } from "./ignore-matcher.ts";
import { defaultPath, type ImageDraft } from "./image-draft.ts";
import { LateOutput } from "./late-output.ts";
import { type PlatformContext, predefinedArgs } from "./platform-context.ts";
import { type ResolveContext, resolveStages } from "./resolve-stages.ts";
import { resolveEpoch } from "./source-epoch.ts";
import type { StageList } from "./stage-list.ts";

/** A converted Dockerfile. */
export interface Conversion {
  readonly state: State;
  /** To be given to `state.marshal`. */
  readonly marshalOptions: MarshalOptions;
  readonly image: ImageDraft;
  /** The base image as it was; undefined for `scratch`. */
  readonly baseImage: ImageDraft | undefined;
  readonly epochSeconds: bigint | undefined;
  readonly target: BuildStage;
  /** What an SBOM scanner should look at besides the result, by name. */
  readonly scanned: ReadonlyMap<string, State>;
  readonly ignoresCache: boolean;
}

/** Converts a Dockerfile for one platform. @throws {LocatedError} */
export async function convert(
  data: Uint8Array,
  options: { readonly settings: ConvertSettings; readonly world: ConvertWorld; readonly signal: AbortSignal },
): Promise<Conversion> {
  if (data.length === 0) throw locate(invalid("the Dockerfile cannot be empty"), lineRanges(1));
  const linter = createLinter(data, options.settings);
  const dockerfile = parseDockerfile(data);
  for (const line of dockerfile.emptyContinuations) linter.report(noEmptyContinuation, lineRanges(line));
  const context = await prepare(dockerfile, linter, options);
  const target = findTarget(context.stages, options.settings.target);
  linkStages(context);
  const reachable = await resolveStages(target, context, options);
  const buildContext = await dispatchStages({ context, reachable, target }, options);
  return finish({ target, context, buildContext });
}

function createLinter(data: Uint8Array, settings: ConvertSettings): Linter {
  if (settings.lint !== undefined) return new Linter(settings.lint, settings.warn);
  const check = findDirective("check", data);
  try {
    return new Linter(parseLintOptions(check?.reference ?? ""), settings.warn);
  } catch (error) {
    throw locate(prefixError("failed to parse check options", error), check?.location ?? lineRanges(1));
  }
}

interface Prepared extends ResolveContext {
  readonly epochSeconds: bigint | undefined;
}

async function prepare(
  dockerfile: ParsedDockerfile,
  linter: Linter,
  options: { readonly settings: ConvertSettings; readonly world: ConvertWorld; readonly signal: AbortSignal },
): Promise<Prepared> {
  const { world } = options;
  const { escape } = dockerfile;
  const { stages, globalArgs } = readStages(dockerfile, linter);
  if (stages.length === 0) {
    const end = dockerfile.lines.at(-1)?.endLine ?? 1;
    throw locate(invalid("dockerfile contains no stages to build"), lineRanges(end));
  }
  lintStages(stages, linter);
  const platforms = platformContext(options.settings);
  const targetName = options.settings.target || (stages.at(-1)?.stageName ?? "");
  const predefined = predefinedArgs(platforms, options.settings.buildArgs, targetName);
  lintDefaultBases(stages, { args: globalArgs, linter, predefined, escape });
  const read = readGlobalArgs(globalArgs, { predefined, buildArgs: options.settings.buildArgs, escape });
  const epoch = await epochOf({ settings: options.settings, world, stages, globalArgs: read.values, escape }, options);
  const settings = { ...options.settings, buildArgs: epoch.buildArgs };
  const context = { settings, world, linter, escape, globalArgs: epoch.globalArgs, declaredArgs: read.declared };
  return { ...context, platforms, epochSeconds: epoch.seconds, stages: createStages(stages, context) };
}

function platformContext({ targetPlatform, buildPlatforms }: ConvertSettings): PlatformContext {
  const build = buildPlatforms.length > 0 ? buildPlatforms : [targetPlatform ?? hostPlatform()];
  const target = targetPlatform ?? build[0] ?? hostPlatform();
  return { target, build, implicit: targetPlatform === undefined };
}

async function epochOf(
  context: Parameters<typeof resolveEpoch>[1],
  options: { readonly signal: AbortSignal },
): Promise<{
  seconds: bigint | undefined;
  buildArgs: Readonly<Record<string, string>>;
  globalArgs: EnvironmentList;
}> {
  const key = "SOURCE_DATE_EPOCH";
  const { globalArgs } = context;
  const { buildArgs } = context.settings;
  const given = Object.hasOwn(buildArgs, key) ? buildArgs[key] : globalArgs.get(key) || undefined;
  if (given === undefined) return { seconds: undefined, buildArgs, globalArgs };
  const seconds = await resolveEpoch(given, context, options);
  // Stages that declare the argument get the number, not the word that stood for it.
  const { [key]: _old, ...others } = buildArgs;
  const value = seconds === undefined ? undefined : String(seconds);
  return {
    seconds,
    buildArgs: Object.hasOwn(buildArgs, key) ? { ...others, ...(value !== undefined && { [key]: value }) } : buildArgs,
    globalArgs:
      globalArgs.get(key) === undefined
        ? globalArgs
        : value === undefined
          ? globalArgs.without(key)
          : globalArgs.with(key, value),
  };
}

function findTarget(stages: StageList, name: string): BuildStage {
  const target = name === "" ? stages.all.at(-1) : stages.find(name);
  if (target !== undefined) return target;
  throw invalid(`target stage "${name}" could not be found${suggestion(name, stages.names())}`);
}

function linkStages({ stages, escape }: ResolveContext): void {
  // Implicit stages are added while this goes on; they have no commands.
  for (const stage of stages.all) {
    stage.commands = stage.stage.commands.map((instruction) => stages.link(instruction, { escape, isOnbuild: false }));
    for (const command of stage.commands) stages.connect(stage, command);
  }
  stages.rejectCycles();
  const [only, second] = stages.all;
  if (only !== undefined && second === undefined) only.displayName = "";
}

interface Dispatching {
  readonly context: Prepared;
  readonly reachable: ReadonlySet<BuildStage>;
  readonly target: BuildStage;
}

async function dispatchStages(
  { context, reachable, target }: Dispatching,
  options: { readonly signal: AbortSignal },
): Promise<State> {
  const { world, settings, stages } = context;
  const remote = await world.remoteContext?.(options);
  const patterns = remote === undefined ? ((await world.ignorePatterns?.(options)) ?? []) : [];
  const wanted = new Set<string>();
  const buildContext =
    remote ??
    LateOutput.state(() => {
      const paths = followedPaths(wanted);
      const { output } = world.localContext?.(paths, patterns) ?? defaultContext(paths);
      if (output === undefined) throw invalid("the build context is empty");
      return output;
    });
  const dispatch: DispatchContext = {
    ...context,
    buildContext,
    targetPlatform: context.platforms.target,
    ignored: patterns.length > 0 ? new IgnoreMatcher(patterns) : undefined,
  };
  for (const stage of stages.all) {
    if (!settings.allStages && (!reachable.has(stage) || stage.isDispatched)) continue;
    dispatchStage(stage, dispatch);
    for (const path of stage.contextPaths) wanted.add(path);
  }
  target.paths.add("/");
  return buildContext;
}

function defaultContext(followPaths: readonly string[] | undefined): State {
  return local("context", {
    sharedKeyHint: "context",
    customName: "[internal] load build context",
    ...(followPaths !== undefined && { followPaths }),
  });
}

function dispatchStage(stage: BuildStage, context: DispatchContext): void {
  stage.inherit();
  stage.isDispatched = true;
  stage.platform ??= { os: "", architecture: "" };
  const { config } = stage.image;
  if (stage.platform.os !== "windows" && !(config.Env ?? []).some((entry) => splitVariable(entry)[0] === "PATH"))
    config.Env = [...(config.Env ?? []), `PATH=${defaultPath}`];
  let { state } = stage;
  state = state.addEnvs((config.Env ?? []).map(splitVariable));
  const { hostname, network } = context.settings;
  if (hostname !== "") state = state.hostname(hostname);
  stage.state = state;
  startFromConfig(stage);
  stage.state = stage.state.network(network);
  for (const command of stage.commands) dispatchInstruction(stage, command, context);
  stage.scansContext = isScanned(stage, "BUILDKIT_SBOM_SCAN_CONTEXT", context);
  stage.scansStage = isScanned(stage, "BUILDKIT_SBOM_SCAN_STAGE", context);
}

function startFromConfig(stage: BuildStage): void {
  const { WorkingDir = "", User = "" } = stage.image.config;
  try {
    if (WorkingDir !== "") setWorkdir(stage, WorkingDir);
  } catch (error) {
    throw locate(error, stage.stage.location);
  }
  if (User !== "") stage.state = stage.state.user(User);
}

function isScanned(stage: BuildStage, name: string, { globalArgs }: DispatchContext): boolean {
  const own = stage.buildArgs.filter(({ key, value }) => key === name && value !== undefined).at(-1)?.value;
  const value = own ?? globalArgs.get(name);
  if (value === undefined) return false;
  return parseBool(value) ?? value.split(",").includes(stage.displayName);
}

function finish({
  target,
  context,
  buildContext,
}: {
  readonly target: BuildStage;
  readonly context: Prepared;
  readonly buildContext: State;
}): Conversion {
  const { settings, platforms, world, linter } = context;
  const { config } = target.image;
  if (Object.keys(settings.labels).length > 0) config.Labels = { ...config.Labels, ...settings.labels };
  linter.failOnWarnings();
  if (!platforms.implicit) setImagePlatform(target.image, platforms.target);
  normalizeImagePlatform(target.image);
  const others = [...reachableFrom(target)].filter((stage) => stage !== target && stage.scansStage);
  const scanned = new Map(others.map((stage) => [stage.displayName, stage.state]));
  if (target.scansContext) scanned.set("context", buildContext);
  return {
    state: target.state,
    marshalOptions: { platform: platforms.target, supports: (capability) => world.supports(capability) },
    image: target.image,
    baseImage: target.baseImage,
    epochSeconds: context.epochSeconds,
    target,
    scanned,
    ignoresCache: target.ignoresCache || others.some((stage) => stage.ignoresCache),
  };
}

function setImagePlatform(image: ImageDraft, platform: Platform): void {
  const isSame = image.os === platform.os && image.architecture === platform.architecture;
  image.os = platform.os;
  image.architecture = platform.architecture;
  for (const key of ["variant", "os.version"] as const) {
    const value = platform[key];
    if (value) image[key] = value;
    else if (!isSame) delete image[key];
  }
  const features = platform["os.features"];
  if (features !== undefined) image["os.features"] = [...features];
}

function normalizeImagePlatform(image: ImageDraft): void {
  const { os = "", architecture = "", variant } = image;
  const normal = normalizePlatform({ os: os || hostPlatform().os, architecture, ...(variant && { variant }) });
  image.os = normal.os;
  image.architecture = normal.architecture;
  if (normal.variant === undefined) delete image.variant;
  else image.variant = normal.variant;
}
