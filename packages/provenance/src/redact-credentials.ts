const mask = "xxxxx";

/**
 * The URL with its user name and password masked; a text that is no URL stays as it is.
 *
 * Works on the text, not on a parsed URL: what a parser refuses may still hold a password, and what it accepts would
 * come back in another spelling.
 */
export function redactCredentials(text: string): string {
  const authority = /^([a-zA-Z][a-zA-Z0-9+.-]*:\/\/)([^/?#]*)/.exec(text);
  if (authority === null) return text;
  const [, scheme = "", host = ""] = authority;
  // The last one: everything before it belongs to the user, however many there are.
  const at = host.lastIndexOf("@");
  if (at < 0) return text;
  const colon = host.indexOf(":");
  const hasPassword = colon >= 0 && colon < at;
  const user = hasPassword ? host.slice(0, colon) : host.slice(0, at);
  const masked = (user === "" ? "" : mask) + (hasPassword ? `:${mask}` : "");
  return `${scheme}${masked}${text.slice(scheme.length + at)}`;
}

/**
 * The text with the credentials of all URLs in it masked: for what is shown and kept of builds, whatever it says.
 *
 * User names without a password stay, unless the URL is one of HTTP, where they may be tokens: `ssh://git@` is none.
 */
export function redactCredentialsIn(text: string): string {
  // Most texts have none: every step's name and failure comes here, and a search costs a tenth of the pattern.
  if (!text.includes("://")) return text;
  return text.replace(/[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^/?#\s"'`<>]*@/g, (start) => {
    const userInfo = start.slice(start.indexOf("://") + 3);
    return userInfo.includes(":") || /^https?:/i.test(start) ? redactCredentials(start) : start;
  });
}
