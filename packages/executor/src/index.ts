export type { ContainerNetworks } from "./container-network.ts";
export { createRuntimeSpec, defaultHostname, detectRuntimeHost, type RuntimeHost } from "./create-runtime-spec.ts";
export type {
  ContainerMount,
  ContainerRequest,
  Executor,
  LinuxResources,
  ProcessMeta,
  ProcessStreams,
  ProcessTrace,
  RunOptions,
} from "./executor.ts";
export { findRuntime } from "./oci-runtime.ts";
export type { DnsConfig } from "./resolv-conf.ts";
export { RuncExecutor, type RuncExecutorOptions } from "./runc-executor.ts";
