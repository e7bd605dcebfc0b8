/** How to reach one registry, as the daemon's `[registry."host"]` says. */
export interface RegistryHostConfig {
  /** Hosts to pull from first, in order; `host/path` means the registry lies below a path there. */
  readonly mirrors?: readonly string[];
  /** Plain HTTP. Absent: plain HTTP only where a loopback host does not speak TLS. */
  readonly http?: boolean;
  /** Any certificate is accepted. */
  readonly insecure?: boolean;
  /** Files with further certificate authorities. */
  readonly ca?: readonly string[];
  readonly keyPairs?: readonly { readonly key: string; readonly cert: string }[];
  /** Directories with `*.crt` (authorities) and `*.cert` + `*.key` (client certificates). */
  readonly tlsConfigDirs?: readonly string[];
}

/** By host, such as `docker.io` or `localhost:5000`. */
export type RegistryConfig = Readonly<Record<string, RegistryHostConfig>>;

/** A server that has (parts of) a registry's content. */
export interface RegistryEndpoint {
  /** With port, if any. */
  readonly host: string;
  /** Before the repository's name: `/v2`, or `/v2/path` for a mirror with a path. */
  readonly path: string;
  /** Mirrors are only read. */
  readonly canPush: boolean;
  /** `https-or-http`: TLS first, plain where that is no TLS. */
  readonly scheme: "https" | "http" | "https-or-http";
  readonly tls: RegistryHostConfig;
  /** The registry's name, sent as `ns`, where the server stands for another one. */
  readonly namespace: string | undefined;
}

/** One object, since connections are shared by those who have the same settings. */
const anyTrust: RegistryHostConfig = { insecure: true, http: true };

/** The servers for a registry's domain, in the order in which they are asked. */
export function endpointsOf(
  domain: string,
  config: RegistryConfig,
  options: { readonly insecure?: boolean } = {},
): RegistryEndpoint[] {
  const own = options.insecure === true ? anyTrust : (lookUp(config, domain) ?? {});
  const mirrors = (options.insecure === true ? [] : (own.mirrors ?? [])).map((mirror) => {
    const slash = mirror.indexOf("/");
    const host = slash < 0 ? mirror : mirror.slice(0, slash);
    const path = slash < 0 ? "" : mirror.slice(slash).replace(/\/+$/, "");
    return endpoint({ host, path: `/v2${path}`, canPush: false, domain }, lookUp(config, host) ?? {});
  });
  const host = domain === "docker.io" ? "registry-1.docker.io" : domain;
  return [...mirrors, endpoint({ host, path: "/v2", canPush: true, domain }, own)];
}

function lookUp(config: RegistryConfig, host: string): RegistryHostConfig | undefined {
  return Object.hasOwn(config, host) ? config[host] : undefined;
}

function endpoint(
  place: { readonly host: string; readonly path: string; readonly canPush: boolean; readonly domain: string },
  tls: RegistryHostConfig,
): RegistryEndpoint {
  const { domain, ...rest } = place;
  const isItself = domain === place.host || (domain === "docker.io" && place.host === "registry-1.docker.io");
  return { ...rest, tls, scheme: schemeOf(place.host, tls), namespace: isItself ? undefined : domain };
}

function schemeOf(host: string, tls: RegistryHostConfig): RegistryEndpoint["scheme"] {
  const mayBePlain = tls.http ?? isLoopback(host);
  if (!mayBePlain) return "https";
  // `http` alone is an order; together with `insecure`, and for loopback hosts, it is a permission.
  return tls.http === true && tls.insecure !== true ? "http" : "https-or-http";
}

/** Whether the host is this machine. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || name === "::1" || /^127(?:\.\d{1,3}){3}$/.test(name);
}
