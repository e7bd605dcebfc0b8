import { BuildError } from "@buildkit-ts/errdefs";
import { HostNetworkProvider } from "./host-network-provider.ts";
import type { NetworkProvider } from "./network-provider.ts";
import { NoneNetworkProvider } from "./none-network-provider.ts";

/**
 * The provider of a configured mode (`[worker.oci] networkMode`). `auto` is the host's network.
 *
 * @throws {BuildError} `unimplemented` for `cni` and `bridge`; `invalid_argument` for any other text.
 */
export function createNetworkProvider(mode: string): NetworkProvider {
  switch (mode) {
    case "":
    case "auto":
    case "host":
      return new HostNetworkProvider();
    case "none":
      return new NoneNetworkProvider();
    case "cni":
    case "bridge":
      throw new BuildError("unimplemented", `Cannot use network mode "${mode}": this daemon has no CNI support`, {
        hint: 'Use "host", "none" or "auto"',
      });
    default:
      throw new BuildError("invalid_argument", `invalid network mode: "${mode}"`, {
        hint: 'Use "host", "none" or "auto"',
      });
  }
}
