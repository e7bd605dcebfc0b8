import { join } from "node:path";
import { RuncExecutor } from "@buildkit-ts/executor";
import {
  HostNetworkProvider,
  type NetworkProvider,
  NoneNetworkProvider,
  openNetworkProvider,
  ProxyNetwork,
} from "@buildkit-ts/network";
import type { Logger } from "./logger.ts";
import type { Settings } from "./settings.ts";

/** What gives steps their networks, unless they ask for the host's or for none. */
export async function openNetwork(settings: Settings, logger: Logger): Promise<NetworkProvider> {
  const directory = join(settings.root, "network");
  return await openNetworkProvider(settings.network, { directory, reporter: logger, env: process.env });
}

/** What gives steps proxies, for builds that are held to them. */
export async function openProxies(settings: Settings, logger: Logger): Promise<ProxyNetwork> {
  return await ProxyNetwork.open({ directory: join(settings.root, "network", "proxy"), reporter: logger });
}

/** What runs steps, in containers of the configured runtime. */
export async function openExecutor(
  settings: Settings,
  {
    sandbox,
    proxies,
    traceSocket,
  }: { readonly sandbox: NetworkProvider; readonly proxies: ProxyNetwork; readonly traceSocket: string },
): Promise<RuncExecutor> {
  return await RuncExecutor.open({
    directory: join(settings.root, "executor"),
    networks: { sandbox, host: new HostNetworkProvider(), none: new NoneNetworkProvider() },
    proxies,
    host: { defaultCgroupParent: settings.cgroupParent, traceSocket },
    ...(settings.runtimeBinary !== undefined && { binary: settings.runtimeBinary }),
    ...(settings.dns !== undefined && { dns: settings.dns }),
  });
}

/** Logs what is known against the runtime, while the daemon starts; it is not waited for, but by the end of the daemon. */
export function logRuntimeAdvice(executor: RuncExecutor, logger: Logger): AsyncDisposable {
  const ended = new AbortController();
  const telling = executor.advice({ signal: ended.signal }).then(
    (advice) => {
      if (advice !== undefined) logger.log("warning", advice);
    },
    // A runtime that tells no version may run steps all the same.
    () => undefined,
  );
  return {
    [Symbol.asyncDispose]: async () => {
      ended.abort(new DOMException("The daemon ends", "AbortError"));
      await telling;
    },
  };
}
