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
