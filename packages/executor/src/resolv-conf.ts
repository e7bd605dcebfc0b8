import { isIP } from "node:net";

/** `[dns]` of the daemon's configuration; each list that is not empty replaces the host's. */
export interface DnsConfig {
  readonly nameservers: readonly string[];
  readonly searchDomains: readonly string[];
  readonly options: readonly string[];
}

/** The parts of a resolver configuration. */
export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
  /** Lines of other kinds, kept as they are. */
  readonly other: readonly string[];
}

const fallbackNameservers = ["8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844"];

/** Where systemd-resolved keeps the servers behind its stub at 127.0.0.53. */
export const resolvedUpstreamPath = "/run/systemd/resolve/resolv.conf";

/** Reads a resolv.conf. Comments and addresses that are none are dropped; of several `search` lines the last counts. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  const other: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.split(/\s+/).filter((field) => field !== "");
    if (keyword === undefined || line.startsWith("#") || line.startsWith(";")) continue;
    const [first] = values;
    if (keyword === "nameserver") {
      if (first !== undefined && isIP(first.split("%")[0] ?? "") !== 0) nameservers.push(first);
    } else if (keyword === "search" || keyword === "domain") {
      if (first !== undefined) search = values;
    } else if (keyword === "options") options.push(...values);
    else other.push(line);
  }
  return { nameservers, search, options, other };
}

/** Whether only systemd-resolved's stub is named, which containers cannot reach: then its upstream file counts. */
export function isResolvedStub(conf: ResolvConf): boolean {
  return conf.nameservers.length === 1 && conf.nameservers[0] === "127.0.0.53";
}

/** What a container uses: overrides applied, and without servers that only the host can reach. */
export function containerResolvConf(
  conf: ResolvConf,
  options: { readonly dns?: DnsConfig; readonly hostNetwork: boolean },
): ResolvConf {
  const { dns, hostNetwork } = options;
  const overridden = (dns?.nameservers.length ?? 0) > 0;
  let nameservers = overridden ? (dns?.nameservers ?? []) : conf.nameservers;
  if (!overridden && (!hostNetwork || nameservers.length === 0)) {
    const reachable = nameservers.filter((server) => !/^127\.|^::1(%|$)/.test(server));
    nameservers = reachable.length > 0 ? reachable : fallbackNameservers;
  }
  return {
    nameservers,
    search:
      dns !== undefined && dns.searchDomains.length > 0 ? dns.searchDomains.filter((d) => d !== ".") : conf.search,
    options: dns !== undefined && dns.options.length > 0 ? dns.options : conf.options,
    other: conf.other,
  };
}

/** The text of a resolv.conf. */
export function formatResolvConf(conf: ResolvConf): string {
  const lines = [
    ...conf.nameservers.map((server) => `nameserver ${server}`),
    ...(conf.search.length > 0 ? [`search ${conf.search.join(" ")}`] : []),
    ...(conf.options.length > 0 ? [`options ${conf.options.join(" ")}`] : []),
    ...conf.other,
  ];
  return lines.map((line) => `${line}\n`).join("");
}
