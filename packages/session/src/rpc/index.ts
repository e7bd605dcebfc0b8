export { GrpcByteStream } from "../wire/byte-stream.ts";
export { errorFromStatus, RpcError, type RpcErrorDetail, statusFromError } from "../wire/grpc-status.ts";
export { bulkSessionOptions, widenWindow } from "../wire/http2-settings.ts";
export type { Metadata, ReceivedMetadata } from "../wire/metadata.ts";
export {
  type CallOptions,
  callStreaming,
  callUnary,
  messagesOf,
  methodPath,
  openStream,
  streamOutcome,
} from "../wire/rpc-client.ts";
export { type CallContext, RpcServer, type StreamHandler } from "../wire/rpc-server.ts";
