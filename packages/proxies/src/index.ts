export { connectionFailure } from "./connection-failure.ts";
export { type DispatcherOptions, dispatcherFor } from "./dispatcher-for.ts";
export { trustMachineAuthorities } from "./machine-authorities.ts";
export { type NodeAgents, nodeAgents } from "./node-agents.ts";
export { type ProxyEnvironment, proxyFor } from "./proxy-for.ts";
