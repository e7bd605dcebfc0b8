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
export { BlobDirectory } from "./blob-directory.ts";
export { type Attachable, ClientSession } from "./client-session.ts";
export { shareContentStores } from "./content-stores.ts";
export { type DockerAuth, DockerConfig } from "./docker-config.ts";
export type { TokenTls } from "./fetch-token.ts";
export { type OutputTarget, takeOutputs } from "./file-send.ts";
export { shareDirectories } from "./file-sync.ts";
export { provideRegistryAuth, type RegistryAuthOptions } from "./registry-auth.ts";
export { maxSecretBytes, provideSecrets, type SecretSource } from "./secrets.ts";
export { forwardAgents, type SshAgentSource } from "./ssh-agent.ts";
