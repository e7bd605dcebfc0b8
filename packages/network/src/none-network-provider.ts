import type { NetworkNamespace, NetworkProvider } from "./network-provider.ts";

/** Containers get a namespace of their own with loopback only; it dies with them, so nothing is held here. */
export class NoneNetworkProvider implements NetworkProvider {
  readonly name = "none";

  async acquire(options: { readonly signal: AbortSignal; readonly hostname: string }): Promise<NetworkNamespace> {
    options.signal.throwIfAborted();
    return { join: { kind: "new" }, [Symbol.asyncDispose]: async () => undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
