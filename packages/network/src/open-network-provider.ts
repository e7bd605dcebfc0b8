import { existsSync } from "node:fs";
import type { ErrorReporter } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import {
  type BridgeSettings,
  bridgeNetwork,
  deviceExists,
  findBridgePlugins,
  removeBridge,
} from "./bridge/bridge-network.ts";
import { CniNetworkProvider } from "./cni/cni-network-provider.ts";
import { CniNetworks } from "./cni/cni-networks.ts";
import { withInitLock } from "./cni/init-lock.ts";
import { readNetworkList } from "./cni/network-list.ts";
import { HostNetworkProvider } from "./host-network-provider.ts";
import type { NetworkProvider } from "./network-provider.ts";

/** The network settings of a worker (`[worker.oci]`). */
export interface NetworkSettings {
  /** `auto`, `host`, `cni` or `bridge`. */
  readonly mode: string;
  readonly cniConfigPath: string;
  readonly cniBinaryDirectory: string;
  readonly cniPoolSize: number;
  readonly bridge: BridgeSettings;
}

/** Where and how {@linkcode openNetworkProvider} works. */
export interface OpenNetworkOptions {
  /** For what networks leave on disk. */
  readonly directory: string;
  readonly reporter: ErrorReporter;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The network that steps get by default.
 *
 * `auto` is the bridge where `BUILDKIT_NETWORK_BRIDGE_AUTO` is true, else the CNI network where one is configured, else the
 * host's.
 *
 * @throws {BuildError} `invalid_argument`, for any other mode; `failed_precondition`, for a network that does not work.
 */
export async function openNetworkProvider(
  settings: NetworkSettings,
  options: OpenNetworkOptions,
): Promise<NetworkProvider> {
  switch (settings.mode) {
    case "host":
      return new HostNetworkProvider();
    case "cni":
      return await openCni(settings, options);
    case "bridge":
      return await openBridge(settings, options);
    case "auto":
    case "":
      if (/^(1|t|true)$/i.test(options.env["BUILDKIT_NETWORK_BRIDGE_AUTO"] ?? ""))
        return await openBridge(settings, options);
      return existsSync(settings.cniConfigPath) ? await openCni(settings, options) : new HostNetworkProvider();
    default:
      throw new BuildError("invalid_argument", `invalid network mode: "${settings.mode}"`, {
        hint: 'use "auto", "host", "cni" or "bridge"',
      });
  }
}

async function openCni(settings: NetworkSettings, options: OpenNetworkOptions): Promise<NetworkProvider> {
  const { directory, reporter, env } = options;
  const networks = new CniNetworks(readNetworkList(settings.cniConfigPath), {
    directories: [settings.cniBinaryDirectory],
  });
  return await withInitLock(
    env["BUILDKIT_CNI_INIT_LOCK_PATH"],
    async () => await CniNetworkProvider.open({ directory, networks, poolSize: settings.cniPoolSize, reporter }),
  );
}

async function openBridge(settings: NetworkSettings, options: OpenNetworkOptions): Promise<NetworkProvider> {
  const { directory, reporter, env } = options;
  const { bridge } = settings;
  const { directories, programs } = findBridgePlugins(env["PATH"] ?? "", settings.cniBinaryDirectory);
  const networks = new CniNetworks(bridgeNetwork(bridge, programs), { directories, loopback: programs.loopback });
  return await withInitLock(env["BUILDKIT_CNI_INIT_LOCK_PATH"], async () => {
    const isOurs = !deviceExists(bridge.name);
    return await CniNetworkProvider.open({
      directory,
      networks,
      poolSize: settings.cniPoolSize,
      reporter,
      ...(isOurs && {
        onClose: async () => {
          await removeBridge(bridge.name).catch((error: unknown) => {
            reporter.report(error, `removing bridge ${bridge.name}`);
          });
        },
      }),
    });
  });
}
