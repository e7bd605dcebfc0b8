import { type AgentOptions, type ClientRequestArgs, Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { connectBySocks, isSocks } from "./connect-by-socks.ts";
import { trustMachineAuthorities } from "./machine-authorities.ts";
import { type ProxyEnvironment, proxyFor } from "./proxy-for.ts";

/** Agents of Node's `http` and `https`. */
export interface NodeAgents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

const timeoutMs = 30_000;

type Target = ClientRequestArgs & { readonly servername?: string };
type OnSocket = (error: Error | null, socket: Duplex) => void;

/** Agents that keep connections and go by the environment's proxies. Node itself knows those of HTTP, but no SOCKS. */
export function nodeAgents(options: AgentOptions, environment: ProxyEnvironment): NodeAgents {
  trustMachineAuthorities();
  const settings = { ...options, keepAlive: true, proxyEnv: environment as NodeJS.ProcessEnv };
  return { http: new SocksHttpAgent(settings, environment), https: new SocksHttpsAgent(settings, environment) };
}

class SocksHttpAgent extends HttpAgent {
  readonly #environment: ProxyEnvironment;

  constructor(options: AgentOptions, environment: ProxyEnvironment) {
    super(withoutSocks(options, environment));
    this.#environment = environment;
  }

  override createConnection(target: Target, callback?: OnSocket): Duplex | null | undefined {
    const proxy = findSocks("http", target, this.#environment);
    if (proxy === undefined) return super.createConnection(target, callback);
    answer(connect(proxy, target, 80), callback);
    return undefined;
  }
}

class SocksHttpsAgent extends HttpsAgent {
  readonly #environment: ProxyEnvironment;

  constructor(options: AgentOptions, environment: ProxyEnvironment) {
    super(withoutSocks(options, environment));
    this.#environment = environment;
  }

  override createConnection(target: Target, callback?: OnSocket): Duplex | null | undefined {
    const proxy = findSocks("https", target, this.#environment);
    if (proxy === undefined) return super.createConnection(target, callback);
    const secure = connect(proxy, target, 443).then((socket) =>
      connectTls({ ...(target as ConnectionOptions), socket, servername: target.servername ?? target.host ?? "" }),
    );
    answer(secure, callback);
    return undefined;
  }
}

function findSocks(scheme: string, { host, port }: Target, environment: ProxyEnvironment): URL | undefined {
  // Some clients give addresses as URLs have them, others without brackets.
  const name = isIP(host ?? "") === 6 ? `[${host}]` : (host ?? "");
  const url = URL.parse(`${scheme}://${name}:${port ?? ""}`);
  const proxy = url === null ? undefined : proxyFor(url, environment);
  return proxy !== undefined && isSocks(proxy) ? proxy : undefined;
}

async function connect(proxy: URL, { host, port }: Target, defaultPort: number): Promise<Socket> {
  return await connectBySocks(proxy, { host: host ?? "", port: Number(port ?? defaultPort), timeoutMs });
}

function answer(connecting: Promise<Duplex>, callback: OnSocket | undefined): void {
  connecting.then(
    (socket) => callback?.(null, socket),
    (error: unknown) => callback?.(error as Error, undefined as unknown as Duplex),
  );
}

/** The options without proxies that Node would refuse. */
function withoutSocks(options: AgentOptions, environment: ProxyEnvironment): AgentOptions {
  const rest = Object.entries(environment).filter(
    ([name, value]) => !(/^https?_proxy$/i.test(name) && /^socks/i.test(value ?? "")),
  );
  return { ...options, proxyEnv: Object.fromEntries(rest) as NodeJS.ProcessEnv };
}
