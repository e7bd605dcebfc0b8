import type { Socket } from "node:net";
import { BuildError } from "@buildkit-ts/errdefs";
import { SocksClient } from "socks";

/** Where a connection leads, by name: the proxy looks it up. */
export interface SocksTarget {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Whether a proxy speaks SOCKS. */
export function isSocks({ protocol }: URL): boolean {
  return protocol === "socks5:" || protocol === "socks5h:";
}

/**
 * A connection that a SOCKS proxy made (RFC 1928, with names and passwords of RFC 1929).
 *
 * @throws {BuildError} `unavailable`, if the proxy cannot be reached or does not connect.
 */
export async function connectBySocks(proxy: URL, target: SocksTarget): Promise<Socket> {
  const { host, port, timeoutMs } = target;
  const [userId, password] = [proxy.username, proxy.password].map(decodeURIComponent);
  try {
    const { socket } = await SocksClient.createConnection({
      command: "connect",
      timeout: timeoutMs,
      destination: { host: withoutBrackets(host), port },
      proxy: {
        type: 5,
        host: withoutBrackets(proxy.hostname),
        port: Number(proxy.port || "1080"),
        ...(userId !== "" && userId !== undefined && { userId, password: password ?? "" }),
      },
    });
    return socket;
  } catch (error) {
    // The library's error holds the proxy with its password beside its message.
    const reason = error instanceof Error ? error.message : "unknown";
    const message = `Cannot connect to "${host}:${port}" by SOCKS proxy "${proxy.host}": ${reason}`;
    const cause = lostConnection(reason);
    throw new BuildError("unavailable", message, cause === undefined ? {} : { cause });
  }
}

/** An error by whose code callers see that another attempt may succeed; undefined for what will stay. */
function lostConnection(reason: string): Error | undefined {
  if (!/ECONNRESET|EPIPE|ETIMEDOUT|timed out|socket closed/i.test(reason)) return undefined;
  return Object.assign(new Error(reason), { code: "ECONNRESET" });
}

/** An address of IPv6 as URLs do not have it. */
function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}
