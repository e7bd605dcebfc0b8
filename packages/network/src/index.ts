export { createNetworkProvider } from "./create-network-provider.ts";
export { HostNetworkProvider } from "./host-network-provider.ts";
export type { NetworkJoin, NetworkNamespace, NetworkProvider } from "./network-provider.ts";
export { NoneNetworkProvider } from "./none-network-provider.ts";
