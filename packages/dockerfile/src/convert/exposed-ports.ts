import { isIP } from "node:net";
import { quote } from "@buildkit-ts/gotext";
import { invalid } from "../text/located-error.ts";

/** One argument of EXPOSE. */
export interface ExposedPorts {
  /** `port/protocol`, one per port of a range. */
  readonly ports: readonly string[];
  /** The protocol as written. */
  readonly protocol: string;
  /** Whether an address or a host port was given, which means nothing here. */
  readonly hasMapping: boolean;
}

/**
 * Reads `[ip:][host:]port[-port][/protocol]`.
 *
 * @throws {BuildError} `invalid_argument` for what is no port.
 */
export function parseExposedPorts(text: string): ExposedPorts {
  const { ip, host, container } = splitParts(text);
  const [port = "", protocol = ""] = splitOnce(container, "/");
  if (port === "") throw invalid(`invalid port: ${quote(text)}: no port specified`);
  const lower = protocol.toLowerCase();
  if (!["", "tcp", "udp", "sctp"].includes(lower))
    throw invalid(`invalid port: ${quote(text)}: invalid proto: ${protocol}`);
  if (ip !== "" && isIP(ip.replace(/^\[([^\]]*)\]$/, "$1")) === 0) throw invalid(`invalid IP address: ${ip}`);
  const range = parseRange(port);
  if (range === undefined) throw invalid(`invalid containerPort: ${port}`);
  if (host !== "") checkHostRange(range, { container: port, host });
  return {
    ports: Array.from({ length: range.end - range.start + 1 }, (_, i) => `${range.start + i}/${lower || "tcp"}`),
    protocol: protocol || "tcp",
    hasMapping: ip !== "" || host !== "",
  };
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function splitParts(text: string): { ip: string; host: string; container: string } {
  const parts = text.split(":");
  const container = parts.pop() ?? "";
  const host = parts.pop() ?? "";
  return { ip: parts.join(":"), host, container };
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function parseRange(text: string): Range | undefined {
  const [first = "", last] = splitOnce(text, "-");
  const start = parsePort(first);
  const end = last === undefined || last === first ? start : parsePort(last);
  return start === undefined || end === undefined || end < start ? undefined : { start, end };
}

function parsePort(text: string): number | undefined {
  const number = /^[-+]?\d+$/.test(text) ? Number(text) : Number.NaN;
  return number >= 0 && number <= 65535 ? number : undefined;
}

function checkHostRange(container: Range, texts: { readonly container: string; readonly host: string }): void {
  const host = parseRange(texts.host);
  if (host === undefined) throw invalid(`invalid hostPort: ${texts.host}`);
  const same = container.end - container.start === host.end - host.start;
  if (!same && container.end !== container.start)
    throw invalid(`invalid ranges specified for container and host Ports: ${texts.container} and ${texts.host}`);
}
