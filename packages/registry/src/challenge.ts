/** What a 401 answer asks for (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const maxLength = 16 << 10;
const token = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";
const parameter = new RegExp(`\\s*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))\\s*,?`, "y");
const scheme = new RegExp(`[\\s,]*(${token})(?:\\s+|$)(?!=)`, "y");

/** The challenges of a `WWW-Authenticate` header; what cannot be read ends the list. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const text = (typeof header === "string" ? header : (header ?? []).join(", ")).slice(0, maxLength);
  const challenges: Challenge[] = [];
  for (let at = 0; at < text.length; ) {
    scheme.lastIndex = at;
    const name = scheme.exec(text)?.[1];
    if (name === undefined) return challenges;
    at = scheme.lastIndex;
    const parameters = new Map<string, string>();
    for (;;) {
      parameter.lastIndex = at;
      const match = parameter.exec(text);
      if (match === null) break;
      const [, key = "", quoted, plain = ""] = match;
      parameters.set(key.toLowerCase(), quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1"));
      at = parameter.lastIndex;
    }
    challenges.push({ scheme: name.toLowerCase(), parameters });
  }
  return challenges;
}
