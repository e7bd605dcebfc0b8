export type { ReceiveResult, TreeChange } from "./fsutil/receive-engine.ts";
export { LocalSessionManager } from "./local-session-manager.ts";
export { type ReceiveFilesRequest, receiveFiles } from "./receive-files.ts";
export type { SessionCaller, SessionManager } from "./session.ts";
export { GrpcByteStream } from "./wire/byte-stream.ts";
export { RpcError, type RpcErrorDetail } from "./wire/grpc-status.ts";
export { bulkSessionOptions, widenWindow } from "./wire/http2-settings.ts";
export {
  allValues,
  firstValue,
  type Metadata,
  metadataFromRawHeaders,
  type ReceivedMetadata,
} from "./wire/metadata.ts";
