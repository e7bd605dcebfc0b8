/**
 * Where a container's network comes from, in the words of the OCI runtime spec.
 *
 * - `host`: the daemon's own namespace; the container gets none of its own.
 * - `new`: a fresh one, made by the runtime, with nothing but loopback (which the runtime brings up).
 * - `path`: one that exists already, such as `/var/run/netns/x`.
 */
export type NetworkJoin =
  | { readonly kind: "host" }
  | { readonly kind: "new" }
  | { readonly kind: "path"; readonly path: string };

/** The network of one container, held until the container has ended. */
export interface NetworkNamespace extends AsyncDisposable {
  readonly join: NetworkJoin;
}

/** Makes networks for containers. Stateless providers may be shared and disposed any number of times. */
export interface NetworkProvider extends AsyncDisposable {
  /** The mode's name: the worker's `network` label. */
  readonly name: string;
  /** @param options.hostname The container's hostname, for networks that announce it; empty for none. */
  acquire(options: { readonly signal: AbortSignal; readonly hostname: string }): Promise<NetworkNamespace>;
}
