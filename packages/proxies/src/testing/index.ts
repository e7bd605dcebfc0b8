export { SocksServer, type SocksServerOptions } from "./socks-server.ts";
