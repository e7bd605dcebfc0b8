export { GrpcByteStream } from "../wire/byte-stream.ts";
export { DuplexCall } from "../wire/duplex-call.ts";
export { detailsFromError, errorChain, typedDetail } from "../wire/error-details.ts";
export { FrameReader, frameMessage } from "../wire/grpc-frames.ts";
export { errorFromStatus, statusFromError, statusFromFailedBuild } from "../wire/grpc-status.ts";
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
export { RpcError, type RpcErrorDetail } from "../wire/rpc-error.ts";
export { type CallContext, RpcServer, type StreamHandler } from "../wire/rpc-server.ts";
