import { readFileSync } from "node:fs";
import { BuildError } from "@buildkit-ts/errdefs";

/** One plugin's part of a network, as the CNI specification names its members; the rest is the plugin's own. */
export interface PluginConfig {
  /** The plugin's program, a name without a path. */
  readonly type: string;
  readonly [member: string]: unknown;
}

/** A network: plugins that are applied in order, each seeing what the one before it did (CNI specification 1.0, section 1). */
export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly PluginConfig[];
}

/** Every namespace's own device, as a network of its own: other networks do not bring it up. */
export function loopbackNetwork(program: string): NetworkList {
  return { name: "cni-loopback", cniVersion: "0.3.1", plugins: [{ type: program }] };
}

/**
 * Reads a network's file: a list where it ends in `.conflist`, one plugin otherwise.
 *
 * @throws {BuildError} `invalid_argument`, naming the file.
 */
export function readNetworkList(path: string): NetworkList {
  try {
    return parseNetworkList(JSON.parse(readFileSync(path, "utf8")), path.endsWith(".conflist"));
  } catch (error) {
    throw new BuildError("invalid_argument", `Cannot read CNI network "${path}": ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function parseNetworkList(json: unknown, isList: boolean): NetworkList {
  const network = record(json, "the network");
  const plugins = isList ? network["plugins"] : [network];
  if (!Array.isArray(plugins) || plugins.length === 0) throw new TypeError("it names no plugins");
  return {
    name: text(network["name"], "name"),
    cniVersion: network["cniVersion"] === undefined ? "0.1.0" : text(network["cniVersion"], "cniVersion"),
    plugins: plugins.map((plugin) => {
      const config = record(plugin, "a plugin");
      const type = text(config["type"], "type");
      // It becomes a program's name in a directory of programs.
      if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(type)) throw new TypeError(`no plugin can be called "${type}"`);
      return { ...config, type };
    }),
  };
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError(`${what} is no object`);
  return value as Record<string, unknown>;
}

function text(value: unknown, member: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new TypeError(`its ${member} is missing or not a text`);
}
