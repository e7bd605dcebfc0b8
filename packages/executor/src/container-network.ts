import { BuildError } from "@buildkit-ts/errdefs";
import type { NetworkNamespace, NetworkProvider, ProxyNetwork } from "@buildkit-ts/network";
import type { ContainerRequest, ProcessMeta } from "./executor.ts";

/** What gives containers their networks. */
export interface ContainerNetworks {
  /** By the mode a step asks for. */
  readonly networks: Readonly<Record<ProcessMeta["network"], NetworkProvider>>;
  /** For steps that are held to a proxy; without it there can be none. */
  readonly proxies?: ProxyNetwork;
}

/** The network of one container, and what its processes have to know of it. */
export interface ContainerNetwork extends NetworkNamespace {
  /** For the end of their environment. */
  readonly env: readonly string[];
  /** A certificate (PEM) of an authority that they have to trust. */
  readonly authority?: string;
}

/** @throws {BuildError} `unimplemented`, for a proxy where there is none. */
export async function acquireNetwork(
  { meta, proxy }: ContainerRequest,
  { networks, proxies }: ContainerNetworks,
  options: { readonly signal: AbortSignal },
): Promise<ContainerNetwork> {
  const { signal } = options;
  const provider = networks[meta.network];
  // Without a network there is nothing to be held to.
  if (proxy !== undefined && meta.network !== "none") {
    if (proxies !== undefined) return await proxies.acquire(proxy, { egress: provider, signal });
    throw new BuildError("unimplemented", "Cannot hold a step to a proxy: this executor has none");
  }
  const namespace = await provider.acquire({ signal, hostname: meta.hostname });
  return {
    join: namespace.join,
    env: [],
    [Symbol.asyncDispose]: async () => await namespace[Symbol.asyncDispose](),
  };
}
