import { BuildError, SourceError } from "@buildkit-ts/errdefs";
import { decodeDefinition, encodeDefinition, type SourceMap, type State, stateFromDefinition } from "@buildkit-ts/llb";
import { formatPlatformAll, hostPlatform, normalizePlatform, type Platform } from "@buildkit-ts/oci";
import type { Attestation } from "@buildkit-ts/provenance";
import { type Conversion, convert } from "../convert/convert.ts";
import type { ConvertSettings, ConvertWorld } from "../convert/convert-options.ts";
import { encodeImage } from "../convert/image-draft.ts";
import type { FrontendClient, FrontendRef, FrontendResult } from "../frontend-client.ts";
import type { LintWarning } from "../lint/linter.ts";
import { type DirectiveUse, detectSyntax } from "../parser/directives.ts";
import { answerSubrequest } from "../subrequests/answer-subrequest.ts";
import { encodeJson } from "../text/encode-json.ts";
import { locationsOf, prefixError } from "../text/located-error.ts";
import { trimSpace } from "../text/whitespace.ts";
import { BuildContext, type Entrypoint } from "./build-context.ts";
import { checkCapabilities } from "./frontend-capabilities.ts";
import { type FrontendConfig, readConfig } from "./frontend-config.ts";
import { NamedContexts } from "./named-contexts.ts";
import { SbomScanner, sbomAttestation } from "./sbom-scanner.ts";
import { createWorld } from "./world.ts";

/**
 * Builds what the client's Dockerfile says: `dockerfile.v0`.
 *
 * @throws {SourceError} pointing into the Dockerfile, for what is wrong there.
 */
export async function runDockerfileFrontend(
  client: FrontendClient,
  options: { readonly signal: AbortSignal },
): Promise<FrontendResult> {
  const config = readConfig(client);
  const capabilityError = checkCapabilities(config.options["frontend.caps"] ?? "");
  const context = new BuildContext(client);
  const entrypoint = await context.readEntrypoint("Dockerfile", options);
  const forwarded = await forward(client, entrypoint, options);
  if (forwarded !== undefined) return forwarded;
  if (capabilityError !== undefined) throw capabilityError;
  const named = new NamedContexts(client, context, config.settings.resolveMode);
  const run: Run = { client, config, entrypoint, world: createWorld(client, context, named), signal: options.signal };
  const answer = await answerSubrequest(config.options["requestid"], {
    data: entrypoint.data,
    sourceMap: entrypoint.sourceMap,
    world: run.world,
    settings: settingsFor(run, config.targetPlatforms[0]),
    signal: options.signal,
  });
  if (answer !== undefined) return answer;
  try {
    return await buildPlatforms(run);
  } catch (error) {
    throw pointInto(error, entrypoint.sourceMap);
  }
}

interface Run {
  readonly client: FrontendClient;
  readonly config: FrontendConfig;
  readonly entrypoint: Entrypoint;
  readonly world: ConvertWorld;
  readonly signal: AbortSignal;
}

function settingsFor({ config, entrypoint }: Run, targetPlatform: Platform | undefined): ConvertSettings {
  return {
    ...config.settings,
    targetPlatform,
    sourceMap: entrypoint.sourceMap,
    warn: undefined,
    allStages: false,
  };
}

/** Hands over to the frontend that the Dockerfile or the client names. */
async function forward(
  client: FrontendClient,
  { data, sourceMap }: Entrypoint,
  options: { readonly signal: AbortSignal },
): Promise<FrontendResult | undefined> {
  // A `cmdline` means that this frontend itself was called for.
  if (client.options["cmdline"] !== undefined) return undefined;
  const argument = client.options["build-arg:BUILDKIT_SYNTAX"];
  if (argument !== undefined) {
    const reference = trimSpace(argument).split(" ", 1)[0] ?? "";
    if (reference === builtin) return undefined;
    return await solveWith(client, { reference, cmdline: argument }, options).catch((error: unknown) => {
      if (isSourceError(error)) throw error;
      throw prefixError(`failed with build-arg:BUILDKIT_SYNTAX = ${argument}`, error);
    });
  }
  const syntax: DirectiveUse | undefined = detectSyntax(data);
  if (syntax === undefined) return undefined;
  return await solveWith(client, syntax, options).catch((error: unknown) => {
    if (isSourceError(error)) throw error;
    throw sourceError(error, sourceMap, syntax.location);
  });
}

const builtin = "dockerfile.v0";

async function solveWith(
  client: FrontendClient,
  syntax: { readonly reference: string; readonly cmdline: string },
  options: { readonly signal: AbortSignal },
): Promise<FrontendResult> {
  const attributes = { ...client.options, cmdline: syntax.cmdline, source: syntax.reference };
  const inputs = await client.inputs();
  return await client.solve({ frontend: "gateway.v0", options: attributes, inputs }, options);
}

async function buildPlatforms(run: Run): Promise<FrontendResult> {
  const { config } = run;
  // Before anything is built: whether there is such a scanner is known at once.
  const scanner = await findScanner(run);
  const targets = config.targetPlatforms.length > 0 ? config.targetPlatforms : [undefined];
  const built = await allOrFirstFailure(
    targets.map((platform, index) => (signal) => buildOne({ ...run, signal }, platform, index)),
    run.signal,
  );
  const metadata = new Map<string, Uint8Array>();
  const refs = new Map<string, FrontendRef | undefined>();
  let single: FrontendRef | undefined;
  for (const { ref, conversion, platform } of built) {
    const suffix = config.settings.multiPlatform ? `/${platform.ID}` : "";
    if (config.settings.multiPlatform) refs.set(platform.ID, ref);
    else single = ref;
    addMetadata(metadata, conversion, suffix);
  }
  metadata.set("refs.platforms", encodeJson({ Platforms: built.map(({ platform }) => platform) }));
  const attestations = scanner === undefined ? [] : await scanAll(run, scanner, built);
  return { ref: single, refs, metadata, attestations: new Map(attestations) };
}

async function findScanner({ client, config, signal }: Run): Promise<SbomScanner | undefined> {
  if (config.sbom === undefined) return undefined;
  return await SbomScanner.find(config.sbom, {
    platform: config.settings.buildPlatforms[0] ?? hostPlatform(),
    resolve: async (reference, platform) =>
      await client.resolveImage(
        reference,
        { platform, resolveMode: config.settings.resolveMode, logName: "" },
        { signal },
      ),
  });
}

/** Scans are solved, but not waited for: they are built with the result. */
async function scanAll(
  { client, signal }: Run,
  scanner: SbomScanner,
  built: readonly Built[],
): Promise<(readonly [string, Attestation<FrontendRef>[]])[]> {
  return await Promise.all(
    built.map(async ({ conversion, platform }) => {
      // As they are built, byte for byte: marshalled below the scan, steps would take over its platform.
      const asBuilt = (state: State): State => stateFromDefinition(state.marshal(conversion.marshalOptions));
      const extras = new Map([...conversion.scanned].map(([name, state]) => [name, asBuilt(state)]));
      const core = asBuilt(conversion.state);
      const { ignoresCache: ignoreCache } = conversion;
      const definition = scanner.scan({ name: platform.ID, core, extras, ignoreCache });
      const { ref } = await client.solve({ definition }, { signal });
      return [platform.ID, [sbomAttestation(ref)]] as const;
    }),
  );
}

interface Built {
  readonly ref: FrontendRef | undefined;
  readonly conversion: Conversion;
  readonly platform: { readonly ID: string; readonly Platform: object };
}

async function buildOne(run: Run, target: Platform | undefined, index: number): Promise<Built> {
  const { client, config, world, entrypoint, signal } = run;
  const pending: Promise<void>[] = [];
  // Warnings of all platforms are the same: those of the first are enough.
  const warn = index === 0 ? (warning: LintWarning) => void pending.push(send(client, entrypoint, warning)) : undefined;
  const settings = { ...settingsFor(run, target), warn };
  try {
    const conversion = await convert(entrypoint.data, { settings, world, signal });
    const definition = conversion.state.marshal(conversion.marshalOptions);
    const { ref } = await client.solve({ definition, cacheImports: config.cacheImports }, { signal });
    return { ref, conversion, platform: exportPlatform(target ?? hostPlatform(), conversion) };
  } finally {
    await Promise.allSettled(pending);
  }
}

function exportPlatform(platform: Platform, { image }: Conversion): Built["platform"] {
  const normal = normalizePlatform(platform);
  const version =
    normal["os.version"] ?? (normal.os === "windows" && image.os === "windows" ? image["os.version"] : undefined);
  const features =
    normal["os.features"] ?? (normal.os === "windows" && image.os === "windows" ? image["os.features"] : undefined);
  return {
    ID: formatPlatformAll(normal),
    Platform: {
      architecture: normal.architecture,
      os: normal.os,
      "os.version": version || undefined,
      "os.features": features !== undefined && features.length > 0 ? features : undefined,
      variant: normal.variant,
    },
  };
}

function addMetadata(metadata: Map<string, Uint8Array>, conversion: Conversion, suffix: string): void {
  const { image, baseImage, epochSeconds } = conversion;
  metadata.set(`containerimage.config${suffix}`, encodeImage(image));
  if (baseImage !== undefined) metadata.set(`containerimage.base.config${suffix}`, encodeImage(baseImage));
  if (epochSeconds !== undefined)
    metadata.set(`source.date.epoch${suffix}`, new TextEncoder().encode(String(epochSeconds)));
}

async function send(client: FrontendClient, { sourceMap }: Entrypoint, warning: LintWarning): Promise<void> {
  const line = warning.location[0]?.start.line ?? 0;
  const vertex = sourceMap.definition && decodeDefinition(sourceMap.definition).root.digest;
  if (vertex === undefined) return;
  const { filename, language, data, definition } = sourceMap;
  await client.warn(vertex, {
    level: 1,
    short: `${warning.rule}: ${warning.message}${line > 0 ? ` (line ${line})` : ""}`,
    detail: [warning.description],
    url: warning.url,
    source: { filename, language, data, ...(definition !== undefined && { definition }) },
    ranges: warning.location,
  });
}

/** Runs all; the first failure stops the others and is thrown after they have ended. */
async function allOrFirstFailure<T>(
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
  outer: AbortSignal,
): Promise<T[]> {
  const siblings = new AbortController();
  const signal = AbortSignal.any([outer, siblings.signal]);
  let failure: { readonly error: unknown } | undefined;
  const results = await Promise.all(
    tasks.map(async (task) => {
      try {
        return { value: await task(signal) };
      } catch (error) {
        failure ??= { error };
        siblings.abort(new BuildError("canceled", "the build of another platform failed"));
        return undefined;
      }
    }),
  );
  if (failure !== undefined) throw failure.error;
  return results.flatMap((result) => (result === undefined ? [] : [result.value]));
}

function isSourceError(error: unknown): boolean {
  for (let e: unknown = error; e instanceof Error; e = e.cause) if (e instanceof SourceError) return true;
  return false;
}

/** A failure with places becomes one that shows them: the innermost place is the innermost cause. */
function pointInto(error: unknown, sourceMap: SourceMap): unknown {
  return locationsOf(error).reduce<unknown>((inner, ranges) => sourceError(inner, sourceMap, ranges), error);
}

function sourceError(error: unknown, sourceMap: SourceMap, ranges: DirectiveUse["location"]): SourceError {
  const { code, message, hint } = BuildError.from(error);
  const { filename, language, data, definition } = sourceMap;
  return new SourceError(message, {
    code,
    cause: error,
    source: { filename, language, data, ...(definition !== undefined && { definition: encodeDefinition(definition) }) },
    ranges,
    ...(hint !== undefined && { hint }),
  });
}
