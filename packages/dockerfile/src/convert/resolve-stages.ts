import { BuildError } from "@buildkit-ts/errdefs";
import { image, scratch } from "@buildkit-ts/llb";
import {
  formatPlatformAll,
  formatReference,
  normalizePlatform,
  type Platform,
  parseReference,
  withDefaultTag,
} from "@buildkit-ts/oci";
import { readInstruction } from "../instructions/read-instruction.ts";
import { invalidBaseImagePlatform } from "../lint/rules.ts";
import { parseDockerfile } from "../parser/parse-dockerfile.ts";
import { invalid, locate, prefixError, relocate, rewordError } from "../text/located-error.ts";
import { suggestion } from "../text/suggest.ts";
import { type BuildStage, reachableFrom, type StageCommand } from "./build-stage.ts";
import { followedPaths } from "./context-paths.ts";
import type { CreateContext } from "./create-stages.ts";
import { locationsOf } from "./dispatch-context.ts";
import { copyImage, type ImageDraft, parseImage, scratchImage } from "./image-draft.ts";
import type { PlatformContext } from "./platform-context.ts";
import type { StageList } from "./stage-list.ts";
import { nextStepName } from "./step-name.ts";

/** What bases are resolved with. */
export interface ResolveContext extends CreateContext {
  readonly platforms: PlatformContext;
  readonly stages: StageList;
}

/**
 * Resolves the base of every stage that the target needs, and prepares ONBUILD triggers; these may need further
 * stages, so it goes on until there are no more.
 */
export async function resolveStages(
  target: BuildStage,
  context: ResolveContext,
  options: { readonly signal: AbortSignal },
): Promise<ReadonlySet<BuildStage>> {
  for (;;) {
    const reachable = reachableFrom(target);
    await resolveBases(reachable, context, options);
    let hasNew = false;
    for (const stage of reachable) if (prepareTriggers(stage, context)) hasNew = true;
    if (!hasNew) return reachable;
  }
}

async function resolveBases(
  reachable: ReadonlySet<BuildStage>,
  context: ResolveContext,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const siblings = new AbortController();
  const signal = AbortSignal.any([options.signal, siblings.signal]);
  let failure: { readonly error: unknown } | undefined;
  const resolveOne = async (stage: BuildStage): Promise<void> => {
    try {
      await resolveBase(stage, reachable.has(stage) || context.settings.allStages, { context, signal });
    } catch (error) {
      // The first failure tells what is wrong; the others only tell that they were stopped.
      failure ??= { error: locate(error, stage.stage.location) };
      siblings.abort(new BuildError("canceled", "another base image could not be resolved"));
    }
  };
  const waiting = context.stages.all.filter(
    (stage) => stage.base === undefined && !stage.isDispatched && !stage.isResolved,
  );
  await Promise.all(waiting.map(resolveOne));
  if (failure !== undefined) throw failure.error;
}

interface Resolving {
  readonly context: ResolveContext;
  readonly signal: AbortSignal;
}

async function resolveBase(stage: BuildStage, isReachable: boolean, resolving: Resolving): Promise<void> {
  const { platforms } = resolving.context;
  stage.isResolved = isReachable;
  if (stage.baseName === "scratch" && stage.namedContext === undefined) {
    stage.state = scratch();
    stage.image = scratchImage(platforms.target);
    stage.platform = platforms.target;
  } else if (isReachable) await loadBase(stage, resolving);
  else qualifyBaseName(stage);
  if (stage.isImplicit) stage.isDispatched = true;
}

/** Names are checked even of stages that nobody needs. */
function qualifyBaseName(stage: BuildStage): string {
  try {
    const qualified = parseReference(stage.baseName);
    stage.baseName = formatReference(withDefaultTag(qualified));
    return formatReference(qualified);
  } catch (error) {
    const text = JSON.stringify(stage.baseName);
    const why = BuildError.from(error).message.replace(/^failed to parse reference "[^]*?": /, "");
    throw new BuildError("invalid_argument", `failed to parse stage name ${text}: ${why}`, { cause: error });
  }
}

async function loadBase(stage: BuildStage, resolving: Resolving): Promise<void> {
  const { platforms, world } = resolving.context;
  const original = stage.baseName;
  qualifyBaseName(stage);
  if (stage.namedContext !== undefined) return await loadOwnContext(stage, resolving);
  const platform = stage.platform ?? platforms.target;
  const context = isReserved(stage.baseName)
    ? undefined
    : world.namedContext?.(stage.baseName, { platform, followPaths: () => followedPaths(stage.paths) });
  if (context === undefined) return await loadImage(stage, { original, platform }, resolving);
  const loaded = await context.load({ signal: resolving.signal });
  const base = loaded.image ?? scratchImage(platform);
  stage.baseImage = copyImage(base);
  stage.image = withoutCreated(base);
  stage.state = loaded.state.platform(platform);
  stage.platform = platform;
}

function isReserved(name: string): boolean {
  return ["scratch", "context"].includes(name.toLowerCase());
}

/** The client's context of the stage's own name replaces the whole stage. */
async function loadOwnContext(stage: BuildStage, { signal }: Resolving): Promise<void> {
  const loaded = await stage.namedContext?.load({ signal });
  if (loaded === undefined) return;
  stage.isDispatched = true;
  stage.state = loaded.state;
  if (loaded.image === undefined) return;
  stage.image = withoutCreated(loaded.image);
  stage.platform = platformOf(loaded.image) ?? stage.platform;
}

function platformOf(image: ImageDraft): Platform | undefined {
  if (!image.architecture || !image.os) return undefined;
  return {
    os: image.os,
    architecture: image.architecture,
    ...(image.variant && { variant: image.variant }),
    ...(image["os.version"] && { "os.version": image["os.version"] }),
    ...(image["os.features"] && { "os.features": image["os.features"] }),
  };
}

function withoutCreated(image: ImageDraft): ImageDraft {
  const { created: _created, ...rest } = copyImage(image);
  return rest;
}

async function loadImage(
  stage: BuildStage,
  request: { readonly original: string; readonly platform: Platform },
  { context, signal }: Resolving,
): Promise<void> {
  const { settings, world, platforms, linter } = context;
  const machine = settings.multiPlatform ? `${formatPlatformAll(request.platform)} ` : "";
  const logName = `[${machine}internal] load metadata for ${stage.baseName}`;
  const { resolveMode } = settings;
  const base = await world
    .resolveImage(stage.baseName, { platform: request.platform, resolveMode, logName }, { signal })
    .catch((error: unknown) => {
      throw explainMissing(error, request.original, context);
    });
  const parsed = parseImage(base.config);
  stage.baseImage = copyImage(parsed);
  stage.image = withoutCreated(parsed);
  const platform =
    stage.platform === undefined && platforms.implicit
      ? supportedPlatform(stage.image, request.platform, platforms.build)
      : request.platform;
  stage.baseName = pin(base.ref, base.digest);
  stage.platform = platform;
  if (isEmptyImage(stage.image)) {
    stage.state = scratch();
    return;
  }
  const name = nextStepName(stage, `FROM ${stage.baseName}`, { multiPlatform: settings.multiPlatform, platform });
  stage.state = image(stage.baseName, {
    description: { "com.docker.dockerfile.v1.command": stage.stage.code },
    platform,
    resolveMode,
    customName: name,
    ...locationsOf(context, stage.stage.location),
  });
  reportOtherPlatform(stage, { name: request.original, platform }, linter);
}

function explainMissing(error: unknown, original: string, { stages }: ResolveContext): BuildError {
  const hint = suggestion(original, [...stages.names(), ...commonImages]);
  return rewordError(prefixError(original, error), (message) => message + hint);
}

const commonImages = ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"].flatMap((name) => [
  name,
  `docker.io/library${name}`,
  `${name}:latest`,
  `docker.io/library${name}:latest`,
]);

function pin(reference: string, digest: string | undefined): string {
  const { digest: _old, ...named } = parseReference(reference);
  const qualified = formatReference(withDefaultTag(parseReference(reference)));
  return digest === undefined ? qualified : `${formatReference(named)}@${digest}`;
}

/** Without layers it is `scratch` with a config. Very old images have no list of layers, but a history of them. */
function isEmptyImage(base: ImageDraft): boolean {
  if ((base.rootfs.diff_ids ?? []).length > 0) return false;
  return base.history.every((entry) => entry.empty_layer === true);
}

/** The image's own platform, if the builder supports it. */
function supportedPlatform(base: ImageDraft, wanted: Platform, supported: readonly Platform[]): Platform {
  if (wanted.os === base.os && wanted.architecture === base.architecture) return wanted;
  return supported.find((p) => p.os === base.os && p.architecture === base.architecture) ?? wanted;
}

function reportOtherPlatform(
  stage: BuildStage,
  expected: { readonly name: string; readonly platform: Platform },
  linter: ResolveContext["linter"],
): void {
  const { os = "", architecture = "" } = stage.image;
  if (expected.platform.os === os && expected.platform.architecture === architecture) return;
  const actual = normalizePlatform({ ...platformOf(stage.image), os, architecture });
  const texts = [formatPlatformAll(expected.platform), formatPlatformAll(actual)] as const;
  linter.report(invalidBaseImagePlatform, stage.stage.location, expected.name, ...texts);
}

/** Puts triggers of the base in front of the stage's own instructions; whether they need further stages. */
function prepareTriggers(stage: BuildStage, context: ResolveContext): boolean {
  stage.inherit();
  const triggers = [...(stage.image.config.OnBuild ?? [])];
  if (stage.base !== undefined && !stage.hasTriggers) {
    for (const { instruction } of stage.base.commands)
      if (instruction.kind === "onbuild") triggers.push(instruction.expression);
    stage.hasTriggers = true;
  }
  if (triggers.length === 0) return false;
  try {
    const commands = triggers.map((trigger) => readTrigger(trigger, stage, context));
    for (const command of commands) context.stages.connect(stage, command);
    stage.commands = [...commands, ...stage.commands];
    stage.stepTotal += commands.length;
    delete stage.image.config.OnBuild;
    return commands.some(({ sources }) => sources.length > 0);
  } catch (error) {
    throw relocate(error, stage.stage.location);
  }
}

function readTrigger(text: string, stage: BuildStage, context: ResolveContext): StageCommand {
  const [line, ...more] = parseDockerfile(new TextEncoder().encode(text)).lines;
  if (line === undefined || more.length > 0) throw invalid("onbuild trigger should be a single expression");
  const { location } = stage.stage;
  const startLine = location[0]?.start.line ?? 0;
  const endLine = location.at(-1)?.end.line ?? 0;
  const instruction = readInstruction({ ...line, startLine, endLine });
  if (instruction.kind === "from") throw invalid("*instructions.Stage is not a command type");
  return context.stages.link(instruction, { escape: context.escape, isOnbuild: true });
}
