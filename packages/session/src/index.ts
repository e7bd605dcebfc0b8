export { type AgentSocket, type AgentSocketOptions, openAgentSocket } from "./agent-socket.ts";
export { type BlobName, SessionBlobs } from "./content/session-blobs.ts";
export type { ExpectedContent, HeavyPart } from "./fsutil/content-weights.ts";
export { type FileStat, goMode, goModeFrom } from "./fsutil/file-stat.ts";
export { comparePaths } from "./fsutil/path-order.ts";
export { readXattrs } from "./fsutil/read-xattrs.ts";
export type { ReceiveResult, TreeChange } from "./fsutil/receive-options.ts";
export type { ReceivedDigest } from "./fsutil/received-digests.ts";
export { prefixEntries, type SendEntry } from "./fsutil/send-entry.ts";
export { type TreeFilter, walkTree } from "./fsutil/walk-tree.ts";
export { getSecret } from "./get-secret.ts";
export { LocalSessionManager } from "./local-session-manager.ts";
export { type ReceiveFilesRequest, receiveFiles } from "./receive-files.ts";
export {
  type RegistryCredentials,
  type RegistryToken,
  SessionRegistryAuth,
  type TokenRequest,
} from "./registry-auth.ts";
export { type SendTarget, sendBytes, sendFiles } from "./send-files.ts";
export type { SessionCaller, SessionManager } from "./session.ts";
export { SessionCredentials, type SessionCredentialsOptions } from "./session-credentials.ts";
export { finalizeSessionExport, findSessionExporters, type SessionExport } from "./session-exporters.ts";
export { SshWireReader, sshField } from "./ssh/wire-reader.ts";
export { GrpcByteStream } from "./wire/byte-stream.ts";
export { type CallTrace, callTraceHeaders, withCallTrace } from "./wire/call-trace.ts";
export { DataTap, type DataTapOptions, type DivertedData } from "./wire/data-tap.ts";
export type { DataTaker } from "./wire/frame-splitter.ts";
export { bulkSessionOptions, widenWindow } from "./wire/http2-settings.ts";
export {
  allValues,
  firstValue,
  type Metadata,
  metadataFromRawHeaders,
  type ReceivedMetadata,
} from "./wire/metadata.ts";
export { type CallOptions, callStreaming, callUnary, openStream, streamOutcome } from "./wire/rpc-client.ts";
export { RpcError, type RpcErrorDetail } from "./wire/rpc-error.ts";
