import { formatTime } from "@buildkit-ts/gotext";
import type { Descriptor } from "@buildkit-ts/oci";
import { formatPlatform, hostPlatform } from "@buildkit-ts/oci";
import type { BuildConfig, SourceMapping } from "./build-config.ts";
import type { Capture } from "./capture.ts";
import type { IncompleteProxyRequest } from "./materials.ts";
import { type ConfigSource, type RequestParameters, scrubRequest } from "./request-parameters.ts";
import { describeMaterials, type ResourceDescriptor } from "./resource-descriptor.ts";
import type { SystemSample } from "./resource-usage.ts";

const buildType = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

/** SLSA provenance v1 (https://slsa.dev/spec/v1.0/provenance) with BuildKit's parameters, in the order of its text. */
export interface PredicateV1 {
  readonly buildDefinition: {
    readonly buildType: string;
    readonly resolvedDependencies?: readonly ResourceDescriptor[];
    readonly externalParameters: { readonly configSource: ConfigSource; readonly request: RequestParameters };
    readonly internalParameters: InternalParameters;
  };
  readonly runDetails: { readonly builder: { readonly id: string }; readonly metadata: BuildMetadata };
}

/** Besides what is named here, whatever the daemon's administrator wants to be in every provenance. */
export interface InternalParameters extends Readonly<Record<string, unknown>> {
  readonly buildConfig?: BuildConfig;
  readonly builderPlatform: string;
  readonly dockerfileVersion?: string;
}

export interface BuildMetadata {
  readonly invocationId: string;
  readonly startedOn: string;
  readonly finishedOn: string;
  readonly buildkit_metadata: BuildKitMetadata;
  readonly buildkit_hermetic?: true;
  readonly buildkit_completeness: { readonly request: boolean; readonly resolvedDependencies: boolean };
  readonly buildkit_reproducible?: true;
}

export interface BuildKitMetadata {
  readonly vcs?: Readonly<Record<string, string>>;
  readonly source?: SourceMapping;
  readonly layers?: StepLayers;
  readonly sysUsage?: readonly SystemSample[];
  readonly network?: NetworkMetadata;
}

/** How steps reached the network; absent where they did so by themselves. */
export interface NetworkMetadata {
  readonly mode: "proxy";
  readonly proxy?: { readonly incomplete: readonly Partial<IncompleteProxyRequest>[] };
}

/** Chains of layers by the step and output that made them: `step2:0`. */
export type StepLayers = Readonly<Record<string, readonly (readonly Descriptor[])[]>>;

/** What a predicate is made from. */
export interface PredicateInput {
  readonly capture: Capture;
  readonly request: RequestParameters;
  readonly configSource: ConfigSource;
  readonly mode: "min" | "max";
  readonly builderId: string;
  readonly reproducible: boolean;
  readonly invocationId: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly dockerfileVersion: string | undefined;
  /** Further internal parameters. */
  readonly environment: Readonly<Record<string, unknown>>;
  readonly compatibilityVersion: number;
  /** How the result was made; for `max` only. */
  readonly buildConfig?: BuildConfig;
  readonly source?: SourceMapping;
  readonly layers?: StepLayers;
  readonly sysUsage?: readonly SystemSample[];
}

/** States how a result came to be. */
export function createPredicate(input: PredicateInput): PredicateV1 {
  const { capture } = input;
  const { vcs, request } = splitVcs(input);
  const scrubbed = input.mode === "min" ? scrubRequest(request) : { request, scrubbed: false };
  const complete = isComplete(capture);
  const materials = describeMaterials(capture);
  return {
    buildDefinition: {
      buildType,
      ...(materials.length > 0 && { resolvedDependencies: materials }),
      externalParameters: {
        configSource: input.configSource,
        request: { ...scrubbed.request, compatibilityVersion: input.compatibilityVersion },
      },
      internalParameters: internalParameters(input),
    },
    runDetails: {
      builder: { id: input.builderId },
      metadata: {
        invocationId: input.invocationId,
        startedOn: formatTime(input.startedAt),
        finishedOn: formatTime(input.finishedAt),
        buildkit_metadata: {
          ...(Object.keys(vcs).length > 0 && { vcs }),
          ...(input.source !== undefined && { source: input.source }),
          ...(input.layers !== undefined && Object.keys(input.layers).length > 0 && { layers: input.layers }),
          ...(input.sysUsage !== undefined && { sysUsage: input.sysUsage }),
          ...(capture.proxyNetwork && { network: describeNetwork(capture) }),
        },
        ...(complete && !capture.networkAccess && { buildkit_hermetic: true as const }),
        buildkit_completeness: {
          request: request.frontend !== undefined && !scrubbed.scrubbed,
          resolvedDependencies: complete,
        },
        ...(input.reproducible && { buildkit_reproducible: true as const }),
      },
    },
  };
}

function describeNetwork({ proxyIncomplete }: Capture): NetworkMetadata {
  if (proxyIncomplete.length === 0) return { mode: "proxy" };
  // As Go's encoder writes it: without what is empty.
  const incomplete = proxyIncomplete.map(({ op, name, method, uri, reason }) =>
    Object.fromEntries(Object.entries({ op, name, method, uri, reason }).filter(([, value]) => value !== "")),
  );
  return { mode: "proxy", proxy: { incomplete } };
}

/** Whether all that went in is named with its digest. */
export function isComplete(capture: Capture): boolean {
  return !capture.incompleteMaterials && capture.locals.length === 0;
}

/** The request as the predicate has it: with ids of secrets, without what says which revision was built. */
function splitVcs({ request, capture }: PredicateInput): {
  readonly vcs: Readonly<Record<string, string>>;
  readonly request: RequestParameters;
} {
  const args = Object.entries(request.args ?? {});
  const isVcs = ([key]: readonly [string, string]): boolean => key.startsWith("vcs:");
  const vcs = args.filter((arg) => isVcs(arg) && arg[1] !== "").map(([key, value]) => [key.slice(4), value]);
  const others = args.filter((arg) => !isVcs(arg));
  const uses = (list: Capture["secrets"]) =>
    list.map(({ id, optional }) => ({ id, ...(optional && { optional: true }) }));
  return {
    vcs: Object.fromEntries(vcs),
    request: {
      ...(request.frontend !== undefined && { frontend: request.frontend }),
      ...(others.length > 0 && { args: Object.fromEntries(others) }),
      ...(capture.secrets.length > 0 && { secrets: uses(capture.secrets) }),
      ...(capture.ssh.length > 0 && { ssh: uses(capture.ssh) }),
      ...(capture.locals.length > 0 && { locals: capture.locals.map((name) => ({ name })) }),
      ...(request.inputs !== undefined && { inputs: request.inputs }),
      ...(request.root !== undefined && { root: request.root }),
    },
  };
}

/** Sorted by name, as Go's encoder writes maps. */
function internalParameters(input: PredicateInput): InternalParameters {
  const parameters: InternalParameters = {
    ...(input.buildConfig !== undefined && { buildConfig: input.buildConfig }),
    builderPlatform: formatPlatform(hostPlatform()),
    ...(input.dockerfileVersion !== undefined && { dockerfileVersion: input.dockerfileVersion }),
    ...input.environment,
  };
  return Object.fromEntries(
    Object.entries(parameters).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ) as unknown as InternalParameters;
}
