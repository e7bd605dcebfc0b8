import type { BuildConfig } from "./build-config.ts";
import type { BuildKitMetadata, PredicateV1 } from "./predicate.ts";
import type { RequestParameters } from "./request-parameters.ts";
import type { DigestSet, ResourceDescriptor } from "./resource-descriptor.ts";

const metadataKey = "https://mobyproject.org/buildkit@v1#metadata";
const hermeticKey = "https://mobyproject.org/buildkit@v1#hermetic";

/** SLSA provenance v0.2 (https://slsa.dev/spec/v0.2/provenance) with BuildKit's extensions. */
export interface PredicateV02 {
  readonly builder: { readonly id: string };
  readonly buildType: string;
  readonly materials?: readonly ResourceDescriptor[];
  readonly invocation: {
    readonly configSource: { readonly uri?: string; readonly digest?: DigestSet; readonly entryPoint?: string };
    readonly parameters: RequestParameters;
    readonly environment: Readonly<Record<string, unknown>>;
  };
  readonly buildConfig?: BuildConfig;
  readonly metadata: {
    readonly buildInvocationID: string;
    readonly buildStartedOn: string;
    readonly buildFinishedOn: string;
    readonly completeness: { readonly parameters: boolean; readonly environment: boolean; readonly materials: boolean };
    readonly reproducible: boolean;
    readonly [metadataKey]: BuildKitMetadata;
    readonly [hermeticKey]?: true;
  };
}

/** The same statement in the terms of the older version. */
export function toPredicateV02(predicate: PredicateV1): PredicateV02 {
  const { buildDefinition, runDetails } = predicate;
  const { configSource, request } = buildDefinition.externalParameters;
  const { buildConfig, builderPlatform, ...environment } = buildDefinition.internalParameters;
  const { metadata } = runDetails;
  const { uri, digest, path } = configSource;
  return {
    builder: runDetails.builder,
    buildType: "https://mobyproject.org/buildkit@v1",
    ...(buildDefinition.resolvedDependencies !== undefined && { materials: buildDefinition.resolvedDependencies }),
    invocation: {
      configSource: {
        ...(uri !== undefined && { uri }),
        ...(digest !== undefined && { digest }),
        ...(path !== undefined && { entryPoint: path }),
      },
      parameters: request,
      environment: sorted({ platform: builderPlatform, ...environment }),
    },
    ...(buildConfig !== undefined && { buildConfig }),
    metadata: {
      buildInvocationID: metadata.invocationId,
      buildStartedOn: metadata.startedOn,
      buildFinishedOn: metadata.finishedOn,
      completeness: {
        parameters: metadata.buildkit_completeness.request,
        environment: true,
        materials: metadata.buildkit_completeness.resolvedDependencies,
      },
      reproducible: metadata.buildkit_reproducible === true,
      [metadataKey]: metadata.buildkit_metadata,
      ...(metadata.buildkit_hermetic === true && { [hermeticKey]: true as const }),
    },
  };
}

function sorted(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
