export type { BridgeSettings } from "./bridge/bridge-network.ts";
export { HostNetworkProvider } from "./host-network-provider.ts";
export type { NetworkJoin, NetworkNamespace, NetworkProvider } from "./network-provider.ts";
export { NoneNetworkProvider } from "./none-network-provider.ts";
export { type NetworkSettings, type OpenNetworkOptions, openNetworkProvider } from "./open-network-provider.ts";
export {
  type ProxiedNamespace,
  ProxyNetwork,
  type ProxyNetworkOptions,
  type StepProxy,
} from "./proxy/proxy-network.ts";
export type {
  IncompleteReason,
  IncompleteRequest,
  ProxiedRequest,
  ProxyMaterial,
  ProxyReport,
} from "./proxy/proxy-report.ts";
