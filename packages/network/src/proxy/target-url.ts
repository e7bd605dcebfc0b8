import type { IncomingMessage } from "node:http";

/**
 * What a request to the proxy is for; undefined, if that cannot be told.
 *
 * The URL is normalised once, here: a policy decides about the very text that is asked of the server.
 *
 * @param origin Of the tunnel that the request came through.
 */
export function targetUrl(request: IncomingMessage, origin: string | undefined): URL | undefined {
  const { url = "", headers } = request;
  // Within a tunnel only the path is the client's choice: another host in it would be one that nobody was asked about.
  const text = url.startsWith("/") ? `${origin ?? `http://${headers.host ?? ""}`}${url}` : url;
  if (origin !== undefined && !url.startsWith("/")) return undefined;
  const parsed = URL.parse(text);
  if (parsed === null || parsed.hostname === "") return undefined;
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") return undefined;
  parsed.hash = "";
  return parsed;
}

/** The origin of a tunnel by what `CONNECT` names, such as `example.com:443`; undefined, if that is no host with a port. */
export function tunnelOrigin(authority: string): URL | undefined {
  if (!/^[^/?#@\\\s]+:\d{1,5}$/.test(authority)) return undefined;
  const parsed = URL.parse(`https://${authority}`);
  return parsed === null || parsed.hostname === "" ? undefined : parsed;
}

/** The name or address in a URL, without an address's brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "");
}

/** The URL as it may be shown: what it holds of credentials is masked, as BuildKit masks it. */
export function shownUrl(url: URL): string {
  if (url.username === "" && url.password === "") return url.href;
  const shown = new URL(url);
  if (shown.username !== "") shown.username = "xxxxx";
  if (shown.password !== "") shown.password = "xxxxx";
  return shown.href;
}
