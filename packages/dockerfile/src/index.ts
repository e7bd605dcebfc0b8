export { type Conversion, convert } from "./convert/convert.ts";
export {
  type BaseImage,
  type ConvertSettings,
  type ConvertWorld,
  defaultSettings,
  type NamedContext,
  type NamedContextRequest,
} from "./convert/convert-options.ts";
export {
  type DockerfileToLlbOptions,
  type DockerfileToLlbResult,
  dockerfileToLlb,
} from "./convert/dockerfile-to-llb.ts";
export { type GitRef, parseGitRef } from "./convert/git-ref.ts";
export { IgnoreMatcher, parseIgnoreFile } from "./convert/ignore-matcher.ts";
export { encodeImage, type ImageDraft } from "./convert/image-draft.ts";
export { diagnose } from "./editor/diagnose.ts";
export { applyFix, type Diagnostic, type Fix } from "./editor/diagnostic.ts";
export type { OfflineOptions } from "./editor/offline-world.ts";
export type { TextRange } from "./editor/text-range.ts";
export type {
  FrontendClient,
  FrontendDirectoryEntry,
  FrontendRef,
  FrontendResult,
  FrontendWarning,
  ResolvedImage,
  ResolvedSource,
} from "./frontend-client.ts";
export type { LintOptions } from "./lint/lint-options.ts";
export type { LintWarning } from "./lint/linter.ts";
export { type DirectiveUse, detectSyntax, findDirective } from "./parser/directives.ts";
export type { Heredoc } from "./parser/heredoc.ts";
export { type ParsedDockerfile, parseDockerfile } from "./parser/parse-dockerfile.ts";
export type { ParsedLine } from "./parser/parsed-line.ts";
export { type LintResult, lint } from "./subrequests/lint.ts";
export { type Outline, outline } from "./subrequests/outline.ts";
export { type TargetList, targets } from "./subrequests/targets.ts";
export { LocatedError } from "./text/located-error.ts";
export { type AttestationRequests, readAttestationRequests, type SbomRequest } from "./ui/attestation-requests.ts";
export { loadNamedContext } from "./ui/load-named-context.ts";
export { runDockerfileFrontend } from "./ui/run-frontend.ts";
export { SbomScanner, type ScanTarget, sbomAttestation } from "./ui/sbom-scanner.ts";
