export type { BridgeSettings } from "./bridge/bridge-network.ts";
export { HostNetworkProvider } from "./host-network-provider.ts";
export type { NetworkJoin, NetworkNamespace, NetworkProvider } from "./network-provider.ts";
export { NoneNetworkProvider } from "./none-network-provider.ts";
export { type NetworkSettings, type OpenNetworkOptions, openNetworkProvider } from "./open-network-provider.ts";
