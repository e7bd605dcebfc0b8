import type { ProxyReport } from "@buildkit-ts/network";

/** What a step asked its proxy for, as its output shows it. */
export function formatProxyRequests({ requests }: ProxyReport): string {
  const lines = requests.map(({ method, url, status }) => `- ${method} ${url} -> ${status}\n`);
  return `proxy network requests:\n${lines.join("")}`;
}
