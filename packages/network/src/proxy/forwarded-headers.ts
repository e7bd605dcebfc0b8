import type { IncomingMessage } from "node:http";
import { hostOf } from "./target-url.ts";

/** Headers between two neighbours (RFC 9110, 7.6.1), which end here; those that `Connection` names do as well. */
const hopByHop = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** Whether a request has a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

/** The headers (names and values in turn) that a request goes on with. */
export function requestHeaders(request: IncomingMessage, url: URL): string[] {
  // The body shall be what the URL stands for, not one of many spellings of it.
  const kept = endToEnd(request, ["host", "accept-encoding", "expect"]);
  const headers = ["Host", url.host, ...kept];
  if (url.username !== "" || url.password !== "") {
    if (request.headers.authorization === undefined) headers.push("Authorization", basicCredentials(url));
  }
  // Framed anew, by what our parser made of it: two servers must not find different ends of one message.
  if (request.headers["transfer-encoding"] !== undefined) headers.push("Transfer-Encoding", "chunked");
  return headers;
}

/** The headers (names and values in turn) that an answer goes on with. */
export function responseHeaders(response: IncomingMessage): string[] {
  return endToEnd(response, []);
}

function endToEnd({ rawHeaders, headers }: IncomingMessage, others: readonly string[]): string[] {
  const named = (headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
  // The length belongs to the message whatever its sender says.
  const dropped = new Set([...hopByHop, ...others, ...named.filter((name) => name !== "content-length")]);
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const [name = "", value = ""] = rawHeaders.slice(index, index + 2);
    if (!dropped.has(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}

function basicCredentials({ username, password }: URL): string {
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(text).toString("base64")}`;
}

/** Where an answer sends its client; undefined for nowhere. */
export function redirectTarget({ headers }: IncomingMessage, url: URL): URL | undefined {
  const { location } = headers;
  if (location === undefined) return undefined;
  const target = URL.parse(location, url);
  return target === null || hostOf(target) === "" ? undefined : target;
}
