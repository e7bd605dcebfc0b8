import type { NetworkNamespace, NetworkProvider } from "./network-provider.ts";

/** Containers share the daemon's network. */
export class HostNetworkProvider implements NetworkProvider {
  readonly name = "host";

  async acquire(options: { readonly signal: AbortSignal; readonly hostname: string }): Promise<NetworkNamespace> {
    options.signal.throwIfAborted();
    return { join: { kind: "host" }, [Symbol.asyncDispose]: async () => undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
