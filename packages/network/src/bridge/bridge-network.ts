import { execFile } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { NetworkList } from "../cni/network-list.ts";

/** A bridge on the host that containers' devices are plugged into. */
export interface BridgeSettings {
  /** The bridge's device, such as `buildkit0`. */
  readonly name: string;
  /** The addresses of the containers, such as `10.10.0.0/16`; the bridge takes the first one. */
  readonly subnet: string;
}

/** Where a bridge's plugins are, and what they are called there. */
export interface BridgePlugins {
  readonly directories: readonly string[];
  /** The programs by the name that the CNI project gives them. */
  readonly programs: Readonly<Record<(typeof pluginNames)[number], string>>;
}

const pluginNames = ["bridge", "loopback", "host-local", "firewall"] as const;
const bundledPrefix = "buildkit-cni-";

/** The plugins that are installed beside the daemon under names of their own, or else those of a directory. */
export function findBridgePlugins(searchPath: string, directory: string): BridgePlugins {
  const bundled = pluginNames.map((name) => findOnPath(`${bundledPrefix}${name}`, searchPath));
  const isBundled = bundled.every((found) => found !== undefined);
  const programs = Object.fromEntries(pluginNames.map((name) => [name, isBundled ? `${bundledPrefix}${name}` : name]));
  return {
    directories: isBundled ? [...new Set(bundled)] : [directory],
    programs: programs as BridgePlugins["programs"],
  };
}

function findOnPath(program: string, searchPath: string): string | undefined {
  return searchPath
    .split(":")
    .filter((directory) => directory !== "")
    .find((directory) => isExecutable(join(directory, program)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The network of a bridge: addresses are handed out by the host, traffic to the outside is masqueraded, other bridges are not reached. */
export function bridgeNetwork(settings: BridgeSettings, plugins: BridgePlugins["programs"]): NetworkList {
  return {
    name: "buildkit",
    cniVersion: "1.0.0",
    plugins: [
      {
        type: plugins.bridge,
        bridge: settings.name,
        isDefaultGateway: true,
        ipMasq: true,
        ipam: { type: plugins["host-local"], ranges: [[{ subnet: settings.subnet }]] },
      },
      { type: plugins.firewall, ingressPolicy: "same-bridge" },
    ],
  };
}

/** Whether there is a device of that name; the bridge's plugin says so itself where it is no bridge. */
export function deviceExists(name: string): boolean {
  // Not from /sys, which shows the network of whoever mounted it.
  const lines = readFileSync("/proc/self/net/dev", "utf8").split("\n");
  return lines.some((line) => line.trimStart().startsWith(`${name}:`));
}

/** Removes the bridge's device; containers' devices that are still plugged in lose their network. */
export async function removeBridge(name: string): Promise<void> {
  await promisify(execFile)("ip", ["link", "delete", name, "type", "bridge"]);
}
