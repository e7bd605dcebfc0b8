export {
  type Attestation,
  attestationKeys,
  isInlineOnly,
  isProvenanceType,
  predicateTypes,
  type StatementSubject,
} from "./attestation.ts";
export { type Attestations, attestationsFromProto, attestationsToProto, mapRefs } from "./attestation-message.ts";
export { type BuildConfig, type DescribedBuild, describeBuild, type SourceMapping } from "./build-config.ts";
export { Capture } from "./capture.ts";
export type {
  BlobMaterial,
  GitMaterial,
  HttpMaterial,
  ImageMaterial,
  IncompleteProxyRequest,
  Materials,
  Use,
} from "./materials.ts";
export { imagePackageUrl } from "./package-url.ts";
export { createPredicate, isComplete, type PredicateV1, type StepLayers } from "./predicate.ts";
export { type PredicateV02, toPredicateV02 } from "./predicate-v02.ts";
export { type ProvenanceOptions, parseProvenanceOptions } from "./provenance-options.ts";
export { redactCredentials, redactCredentialsIn } from "./redact-credentials.ts";
export {
  type ConfigSource,
  type ContextFormat,
  describeRequest,
  isSameRequest,
  type RequestParameters,
  type RequestProvenance,
} from "./request-parameters.ts";
export type { Pressure, PressureValues, SystemSample } from "./resource-usage.ts";
export {
  createStatement,
  predicateTypeAnnotation,
  type ResultSubject,
  type Statement,
  statementMediaType,
} from "./statement.ts";
