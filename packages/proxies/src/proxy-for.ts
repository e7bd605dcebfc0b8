import { BlockList, isIP } from "node:net";
import { BuildError } from "@buildkit-ts/errdefs";

/** Variables of an environment, of which those that name proxies matter. */
export type ProxyEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL, by Go's rules: `HTTP_PROXY` or `HTTPS_PROXY` by the URL's scheme, none for this machine itself, none
 * for what `NO_PROXY` names: hosts with all below them, `.domains`, addresses, networks, each with a port or without.
 *
 * @throws {BuildError} `failed_precondition`, for a proxy that is none.
 */
export function proxyFor(url: URL, environment: ProxyEnvironment): URL | undefined {
  const read = (name: string): string => environment[name] || environment[name.toLowerCase()] || "";
  const text = read(url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY");
  if (text === "") return undefined;
  const host = hostOf(url);
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  if (isThisMachine(host)) return undefined;
  for (const entry of read("NO_PROXY").split(","))
    if (matches(entry.trim().toLowerCase(), host, port)) return undefined;
  return parseProxy(text);
}

/** Without the brackets of IPv6 and the dot of a full name. */
function hostOf(url: URL): string {
  return url.hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "");
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const network = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry);
  if (network !== null) return isInNetwork(host, network[1] ?? "", Number(network[2]));
  const [, bracketed, named, wantedPort] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
  // An address of IPv6 without brackets cannot have a port.
  const name = (bracketed ?? named ?? entry).replace(/^\*\./, ".");
  if (wantedPort !== undefined && wantedPort !== port) return false;
  if (name.startsWith(".")) return host.endsWith(name);
  return host === name || (isIP(name) === 0 && host.endsWith(`.${name}`));
}

function isInNetwork(host: string, address: string, prefix: number): boolean {
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || prefix > (family === 4 ? 32 : 128)) return false;
  const name = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(address, prefix, name);
  return list.check(host, name);
}

function parseProxy(text: string): URL {
  const url = URL.parse(/^[a-z0-9+]+:\/\//i.test(text) ? text : `http://${text}`);
  if (url !== null && /^(?:https?|socks5h?):$/.test(url.protocol)) return url;
  // Its text may hold a password.
  throw new BuildError(
    "failed_precondition",
    "Cannot use proxy of the environment: it is no URL of http, https or socks5",
    {
      hint: "HTTP_PROXY and HTTPS_PROXY of the daemon look like http://proxy.example.com:3128",
    },
  );
}
