import { isIP } from "node:net";
import { quote } from "@buildkit-ts/gotext";
import type { LinuxResources } from "@buildkit-ts/llb";
import { csvFields } from "../text/csv-fields.ts";
import { invalid, prefixError } from "../text/located-error.ts";

/** The options with this prefix, without it. */
export function withPrefix(options: Readonly<Record<string, string>>, prefix: string): Record<string, string> {
  const found = Object.entries(options).filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(found.map(([key, value]) => [key.slice(prefix.length), value]));
}

/** Reads a decimal 64-bit integer. @throws {BuildError} `invalid_argument` with the text of Go's `strconv`. */
export function parseInteger(text: string): bigint {
  const call = "strconv.ParseInt";
  if (!/^[-+]?\d+$/.test(text)) throw invalid(`${call}: parsing ${quote(text)}: invalid syntax`);
  const value = BigInt(text.replace(/^\+/, ""));
  if (BigInt.asIntN(64, value) !== value) throw invalid(`${call}: parsing ${quote(text)}: value out of range`);
  return value;
}

/** Reads `host=ip` fields. */
export function parseExtraHosts(text: string): { host: string; ip: string }[] {
  if (text === "") return [];
  return csvFields(text).map((field) => {
    const lower = field.toLowerCase();
    const at = lower.indexOf("=");
    if (at < 0) throw invalid(`invalid key-value pair ${field}`);
    const ip = lower.slice(at + 1);
    if (isIP(ip) === 0) throw invalid(`failed to parse IP ${ip}`);
    return { host: lower.slice(0, at), ip: canonicalIp(ip) };
  });
}

/** The shortest spelling; an IPv4 address inside IPv6 as IPv4. */
function canonicalIp(ip: string): string {
  if (isIP(ip) === 4) return ip;
  const host = new URL(`http://[${ip.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host);
  if (mapped === null) return host;
  const words = [mapped[1], mapped[2]].map((word) => Number.parseInt(word ?? "0", 16));
  return words.flatMap((word) => [word >> 8, word & 255]).join(".");
}

const ulimitNames = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" "),
);

/** Reads `name=soft[:hard]` fields. */
export function parseUlimits(text: string): { name: string; soft: bigint; hard: bigint }[] {
  return text === "" ? [] : csvFields(text).map(parseUlimit);
}

function parseUlimit(field: string): { name: string; soft: bigint; hard: bigint } {
  const at = field.indexOf("=");
  if (at < 0) throw invalid(`invalid ulimit argument: ${field}`);
  const name = field.slice(0, at);
  const value = field.slice(at + 1);
  if (!ulimitNames.has(name)) throw invalid(`invalid ulimit type: ${name}`);
  const parts = value.split(":");
  if (parts.length > 2)
    throw invalid(`too many limit value arguments - ${value}, can only have up to two, \`soft[:hard]\``);
  const hardText = parts[1];
  const hardGiven = hardText === undefined ? undefined : parseInteger(hardText);
  const soft = parseInteger(parts[0] ?? "");
  const hard = hardGiven ?? soft;
  const rule = "ulimit soft limit must be less than or equal to hard limit";
  if (hard !== -1n && soft === -1n) throw invalid(`${rule}: soft: -1 (unlimited), hard: ${hard}`);
  if (hard !== -1n && soft > hard) throw invalid(`${rule}: ${soft} > ${hard}`);
  return { name, soft, hard };
}

/** Reads the per-step limits; undefined if there is none. */
export function parseLinuxResources(options: Readonly<Record<string, string>>): LinuxResources | undefined {
  const positive = (key: string): bigint | undefined => limit(options, key, (n) => (n <= 0n ? "> 0" : undefined));
  const swap = (n: bigint): string | undefined => (n < -1n || n === 0n ? "-1 (unlimited) or > 0" : undefined);
  const values = {
    memory: positive("memory"),
    memorySwap: limit(options, "memswap", swap),
    cpuShares: positive("cpushares"),
    cpuPeriod: positive("cpuperiod"),
    cpuQuota: positive("cpuquota"),
    cpusetCpus: cpuSet(options, "cpusetcpus"),
    cpusetMems: cpuSet(options, "cpusetmems"),
  };
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return given.length === 0 ? undefined : (Object.fromEntries(given) as LinuxResources);
}

function limit(
  options: Readonly<Record<string, string>>,
  key: string,
  broken: (value: bigint) => string | undefined,
): bigint | undefined {
  const text = options[key] ?? "";
  if (text === "") return undefined;
  let value: bigint;
  try {
    value = parseInteger(text);
  } catch (error) {
    throw prefixError(`invalid ${key} value: ${text}`, error);
  }
  const why = broken(value);
  if (why !== undefined) throw invalid(`invalid ${key} value: ${text}: must be ${why}`);
  return value;
}

function cpuSet(options: Readonly<Record<string, string>>, key: string): string | undefined {
  const text = options[key] ?? "";
  if (text === "") return undefined;
  const isValid = text.split(",").every((part) => {
    const [first = "", last] = part.split("-", 2);
    return /^\d+(?:-\d+)?$/.test(part) && (last === undefined || Number(first) <= Number(last));
  });
  if (!isValid) throw invalid(`invalid ${key} value: ${text}`);
  return text;
}
