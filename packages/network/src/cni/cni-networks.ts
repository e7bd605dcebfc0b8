import { existsSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "@buildkit-ts/errdefs";
import { loopbackNetwork, type NetworkList, type PluginConfig } from "./network-list.ts";
import { runPlugin } from "./run-plugin.ts";

/** A namespace that networks are attached to. */
export interface AttachedNamespace {
  readonly id: string;
  readonly path: string;
  /** Announced by networks that name their members; empty for none. */
  readonly hostname: string;
}

/** What the plugins of each network answered, by the network's name: they want it back when it is taken away. */
export type NetworkResults = Readonly<Record<string, unknown>>;

/** Where the plugins of {@linkcode CniNetworks} are. */
export interface CniNetworksOptions {
  /** Directories of programs, searched in order. */
  readonly directories: readonly string[];
  /** The program of the loopback plugin; `loopback` by default. */
  readonly loopback?: string;
}

/** Attaches namespaces to loopback and one more network, by the plugins that its configuration names. */
export class CniNetworks {
  readonly #directories: readonly string[];
  readonly #networks: readonly (readonly [interfaceName: string, list: NetworkList])[];

  /** @throws {BuildError} `failed_precondition`, for a plugin that is not in any of the directories. */
  constructor(network: NetworkList, options: CniNetworksOptions) {
    this.#directories = options.directories;
    this.#networks = [
      ["lo", loopbackNetwork(options.loopback ?? "loopback")],
      ["eth0", network],
    ];
    for (const [, { plugins }] of this.#networks) for (const { type } of plugins) this.#findProgram(type);
  }

  /** All or nothing: what was attached before a failure is detached again. */
  async attach(namespace: AttachedNamespace): Promise<NetworkResults> {
    const results: Record<string, unknown> = {};
    try {
      for (const [interfaceName, list] of this.#networks) {
        results[list.name] = undefined;
        for (const plugin of list.plugins) {
          results[list.name] = await this.#run("ADD", namespace, {
            interfaceName,
            list,
            plugin,
            previous: results[list.name],
          });
        }
      }
    } catch (error) {
      await this.detach(namespace, results).catch((cleanup: unknown) => {
        throw new SuppressedError(cleanup, error, "Detaching failed as well");
      });
      throw error;
    }
    return results;
  }

  /** Idempotent, as plugins have to be. Every plugin is called, whatever another one says; the first failure is thrown. */
  async detach(namespace: AttachedNamespace, results: NetworkResults): Promise<void> {
    const failures: unknown[] = [];
    for (const [interfaceName, list] of this.#networks.toReversed()) {
      for (const plugin of list.plugins.toReversed()) {
        try {
          await this.#run("DEL", namespace, { interfaceName, list, plugin, previous: results[list.name] });
        } catch (error) {
          failures.push(error);
        }
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #run(
    command: "ADD" | "DEL",
    namespace: AttachedNamespace,
    part: {
      readonly interfaceName: string;
      readonly list: NetworkList;
      readonly plugin: PluginConfig;
      readonly previous: unknown;
    },
  ): Promise<unknown> {
    const { list, plugin, previous } = part;
    const config = {
      ...plugin,
      name: list.name,
      cniVersion: list.cniVersion,
      ...(previous !== undefined && { prevResult: previous }),
    };
    return await runPlugin(this.#findProgram(plugin.type), config, {
      command,
      containerId: namespace.id,
      namespacePath: namespace.path,
      interfaceName: part.interfaceName,
      // The name under which Kubernetes tells a pod's name: plugins that name containers know it. The others shall not mind.
      args: namespace.hostname === "" ? "" : `K8S_POD_NAME=${namespace.hostname};IgnoreUnknown=1`,
      directories: this.#directories,
    });
  }

  #findProgram(type: string): string {
    const path = this.#directories.map((directory) => join(directory, type)).find((file) => existsSync(file));
    if (path !== undefined) return path;
    throw new BuildError("failed_precondition", `Cannot find CNI plugin "${type}" in ${this.#directories.join(", ")}`, {
      hint: "install the CNI plugins, or name their directory in cniBinaryPath",
    });
  }
}
