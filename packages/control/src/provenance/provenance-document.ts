import { definitionFromProto } from "@buildkit-ts/llb";
import { noProgress } from "@buildkit-ts/progress";
import {
  type BuildConfig,
  createPredicate,
  describeBuild,
  type PredicateV1,
  type PredicateV02,
  type ProvenanceOptions,
  predicateTypes,
  type SourceMapping,
  type StepLayers,
  toPredicateV02,
} from "@buildkit-ts/provenance";
import type { HostUsage } from "../usage/host-usage.ts";
import { versionInfo } from "../wire/version.ts";
import type { BuildTimes } from "./build-times.ts";
import type { RefProvenance } from "./result-provenance.ts";
import { findStepLayers } from "./step-layers.ts";

/** What a document says beside how the result came to be. */
export interface DocumentContext {
  readonly times: BuildTimes;
  readonly compatibilityVersion: number;
  readonly usage: Pick<HostUsage, "samples">;
  /** Id of the client's session, for blobs that are still in a registry. */
  readonly session: string;
  /** What the daemon's administrator wants to be in every provenance. */
  readonly environment: Readonly<Record<string, unknown>>;
}

export interface DocumentOptions
  extends Pick<ProvenanceOptions, "version" | "mode" | "builderId" | "reproducible" | "captureUsage"> {
  /** Graphs of more steps are not listed; default: all are. */
  readonly maxSteps?: number;
}

/** The predicate type of documents of a version. */
export function predicateTypeOf(version: ProvenanceOptions["version"]): string {
  return version === "v1" ? predicateTypes.provenanceV1 : predicateTypes.provenanceV02;
}

/** States how a tree came to be, at the time of the call: its layers are known only after they were exported. */
export async function createDocument(
  described: RefProvenance,
  options: DocumentOptions,
  context: DocumentContext & { readonly signal: AbortSignal },
): Promise<PredicateV1 | PredicateV02> {
  const { capture, request, configSource } = described;
  const isListed = described.ref.definition.def.length <= (options.maxSteps ?? Number.POSITIVE_INFINITY);
  const max = options.mode === "max" && isListed ? await describeAll(described, context) : {};
  const sysUsage = options.captureUsage ? context.usage.samples(context) : undefined;
  const predicate = createPredicate({
    capture,
    request,
    configSource,
    ...options,
    ...context,
    invocationId: context.times.invocationId,
    startedAt: context.times.startedAt,
    finishedAt: context.times.finish(),
    dockerfileVersion: request.frontend === "dockerfile.v0" ? versionInfo.dockerfileVersion : undefined,
    ...max,
    ...(sysUsage !== undefined && { sysUsage }),
  });
  return options.version === "v1" ? predicate : toPredicateV02(predicate);
}

/** What `max` adds: the steps, the files that they come from, and their layers as far as these have blobs. */
async function describeAll(
  { ref }: RefProvenance,
  { session, signal }: DocumentContext & { readonly signal: AbortSignal },
): Promise<{ readonly buildConfig: BuildConfig; readonly source?: SourceMapping; readonly layers?: StepLayers }> {
  const definition = definitionFromProto(ref.definition);
  const { config, source } = describeBuild(definition);
  const result = await ref.result({ signal });
  const context = { signal, progress: noProgress, sessions: () => [session], values: () => [] };
  const layers =
    result === undefined ? undefined : await findStepLayers(result, { steps: config.digestMapping, ref }, context);
  return {
    buildConfig: config,
    ...(source !== undefined && { source }),
    ...(layers !== undefined && { layers }),
  };
}
