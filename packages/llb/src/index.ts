export { type BlobOptions, imageBlob, ociLayoutBlob } from "./blob-sources.ts";
export {
  type Constraints,
  type LinuxResources,
  type MarshalOptions,
  platformFromProto,
  platformToProto,
} from "./constraints.ts";
export { type DecodedDefinition, type DecodedInput, type DecodedOp, decodeDefinition } from "./decode-definition.ts";
export type { Definition } from "./definition.ts";
export { definitionFromProto, definitionToProto, encodeDefinition, parseDefinition } from "./definition-codec.ts";
export { stateFromDefinition } from "./definition-state.ts";
export type { ExecSecret, ExecSsh, ProxyEnv } from "./exec-op.ts";
export {
  type CopyOptions,
  type CopySource,
  copy,
  FileAction,
  type MkdirOptions,
  type MkfileOptions,
  mkdir,
  mkfile,
  type Owner,
  type OwnerId,
  parseOwner,
  type RmOptions,
  rm,
  type SymlinkOptions,
  symlink,
} from "./file-action.ts";
export { type GitRemote, parseGitRemote } from "./git-url.ts";
export { opName } from "./op-name.ts";
export { looksSecret } from "./secret-name.ts";
export type { SourceLocation, SourceMap } from "./source-map.ts";
export {
  type GitOptions,
  git,
  type HttpOptions,
  http,
  type ImageOptions,
  image,
  type LocalOptions,
  local,
  type OciLayoutOptions,
  ociLayout,
  source,
} from "./sources.ts";
export { diff, ExecState, type MountOptions, merge, type RunOptions, State, scratch } from "./state.ts";
export { validateOp } from "./validate-op.ts";
export type { EncodeContext, EncodedVertex, LlbVertex, Output } from "./vertex.ts";
