export { BridgeRegistry } from "./bridge/bridge-registry.ts";
export type { BuiltinFrontend } from "./bridge/build-bridge.ts";
export { dockerfileFrontend } from "./bridge/dockerfile-frontend.ts";
export { BuildRunner, type BuildRunnerOptions } from "./build-runner.ts";
export type { ControlServiceOptions } from "./control-service.ts";
export type {
  BuildEngine,
  CacheContext,
  CacheExporter,
  CheckedRegistry,
  GcRule,
  LoadOptions,
  SourceQuery,
  WorkerIdentity,
} from "./engine.ts";
export { createGatewayFrontend, type GatewayOptions } from "./gateway/gateway-frontend.ts";
export { BuildHistory, type HistoryLimits } from "./history/build-history.ts";
export { HistoryBlobs } from "./history/history-blobs.ts";
export { type ControlServerOptions, createControlServer, createSecureControlServer } from "./server.ts";
export { TraceArchive } from "./trace/trace-archive.ts";
export { createTraceServer } from "./trace/trace-server.ts";
export { TraceStore } from "./trace/trace-store.ts";
export { userAgent, versionInfo } from "./wire/version.ts";
