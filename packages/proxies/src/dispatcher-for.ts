import { Agent, buildConnector, type Dispatcher, ProxyAgent } from "undici";
import { connectBySocks, isSocks } from "./connect-by-socks.ts";
import { trustMachineAuthorities } from "./machine-authorities.ts";

/** How connections are made and used. */
export interface DispatcherOptions extends Omit<Agent.Options, "connect"> {
  readonly connect: buildConnector.BuildOptions & { readonly timeout: number };
}

/** Connections by a proxy, or straight ones. */
export function dispatcherFor(proxy: URL | undefined, options: DispatcherOptions): Dispatcher {
  trustMachineAuthorities();
  if (proxy === undefined) return new Agent(options);
  if (isSocks(proxy)) return new Agent({ ...options, connect: socksConnector(proxy, options.connect) });
  return new ProxyAgent({ ...options, uri: proxy.href, requestTls: options.connect });
}

/** Connects by the proxy; what TLS asks for is between us and the server. */
function socksConnector(proxy: URL, options: DispatcherOptions["connect"]): buildConnector.connector {
  const secure = buildConnector(options);
  return (target, callback) => {
    const { hostname, protocol } = target;
    const port = Number(target.port || (protocol === "https:" ? "443" : "80"));
    connectBySocks(proxy, { host: hostname, port, timeoutMs: options.timeout }).then(
      (socket) => {
        if (protocol === "https:") secure({ ...target, httpSocket: socket }, callback);
        else callback(null, socket);
      },
      (error: unknown) => callback(error as Error, null),
    );
  };
}
