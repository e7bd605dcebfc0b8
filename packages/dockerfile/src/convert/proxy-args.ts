import type { ProxyEnv } from "@buildkit-ts/llb";

const members: Readonly<Record<string, keyof ProxyEnv>> = {
  http_proxy: "httpProxy",
  https_proxy: "httpsProxy",
  ftp_proxy: "ftpProxy",
  no_proxy: "noProxy",
  all_proxy: "allProxy",
};

/** The proxies among the build arguments, which steps get without declaring them and which no cache key holds. */
export function proxyFromArgs(args: Readonly<Record<string, string>>): ProxyEnv | undefined {
  const proxy: { -readonly [K in keyof ProxyEnv]: ProxyEnv[K] } = {};
  // Sorted, so that of two spellings always the same one wins.
  for (const name of Object.keys(args).toSorted()) {
    const lower = name.toLowerCase();
    const member = Object.hasOwn(members, lower) ? members[lower] : undefined;
    if (member !== undefined) proxy[member] = args[name] ?? "";
  }
  return Object.keys(proxy).length === 0 ? undefined : proxy;
}
