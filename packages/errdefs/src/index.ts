export { BuildError, type BuildErrorOptions, type Code } from "./build-error.ts";
export { codeFromNumber, codeNumber, codeOfFailedBuild } from "./code-number.ts";
export {
  ExitError,
  PolicyDeniedError,
  SourceError,
  type SourceFile,
  type SourcePosition,
  type SourceRange,
  UnknownJobError,
  VertexError,
} from "./detailed-errors.ts";
export {
  NotAnImageError,
  UnsupportedCompatibilityFeatureError,
  UnsupportedFrontendCapError,
  UnsupportedSubrequestError,
} from "./frontend-errors.ts";
export { type IncompleteMaterial, IncompleteMaterialsError } from "./incomplete-materials-error.ts";
export { LostContentError } from "./lost-content-error.ts";
export {
  ExecError,
  FileActionError,
  ForeignDetailError,
  FrontendError,
  InputKeyError,
  SolveError,
  type SolveFailure,
  type StepResults,
} from "./step-errors.ts";
