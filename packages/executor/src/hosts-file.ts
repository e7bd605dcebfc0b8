import { isIP } from "node:net";
import { BuildError } from "@buildkit-ts/errdefs";
import { defaultHostname } from "./create-runtime-spec.ts";

/**
 * The text of a container's /etc/hosts.
 *
 * @throws {BuildError} `invalid_argument`, for an address that is none.
 */
export function formatHosts(
  hostname: string,
  extraHosts: readonly { readonly host: string; readonly ip: string }[],
): string {
  const lines = [
    `127.0.0.1\tlocalhost ${hostname === "" ? defaultHostname : hostname}`,
    "::1\tlocalhost ip6-localhost ip6-loopback",
  ];
  for (const { host, ip } of extraHosts) {
    if (isIP(ip) === 0) {
      throw new BuildError(
        "invalid_argument",
        `failed to parse IP ${JSON.stringify(ip.slice(0, 100))} of host ${host}`,
      );
    }
    lines.push(`${ip}\t${host}`);
  }
  if (lines.some((line) => /[\r\n]/.test(line))) {
    throw new BuildError("invalid_argument", "Cannot write hosts file: a host name holds a line break");
  }
  return `${lines.join("\n")}\n`;
}
