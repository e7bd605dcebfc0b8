export { MemoryGateway, type MemoryGatewayOptions } from "./memory-gateway.ts";
