import { BuildError } from "@buildkit-ts/errdefs";
import { escapeGoJson, formatGoJson } from "@buildkit-ts/gotext";
import { compareBytes } from "@buildkit-ts/tar";

/** An object's JSON text from the texts of its members, sorted by key as Go sorts maps. */
export function joinMembers(members: ReadonlyMap<string, string>): string {
  const sorted = [...members].toSorted(([a], [b]) => compareBytes(a, b));
  return `{${sorted.map(([key, text]) => `${formatGoJson(key)}:${text}`).join(",")}}`;
}

/**
 * The members of a JSON object as texts without white space. What is not understood is so kept as it is: numbers of any
 * size and the order of members, which parsing would change.
 *
 * @throws {BuildError} `invalid_argument`, when the text is no JSON object.
 */
export function splitMembers(text: string): Map<string, string> {
  assertObject(text);
  const members = new Map<string, string>();
  let at = text.indexOf("{") + 1;
  for (;;) {
    const keyStart = text.indexOf('"', at);
    if (keyStart < 0) return members;
    const keyEnd = stringEnd(text, keyStart);
    const valueStart = text.indexOf(":", keyEnd) + 1;
    const value = scanValue(text, valueStart);
    members.set(JSON.parse(text.slice(keyStart, keyEnd)) as string, escapeGoJson(value.compact));
    if (text[value.end] !== ",") return members;
    at = value.end + 1;
  }
}

function assertObject(text: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BuildError("invalid_argument", "failed to parse image config for patch: not JSON", { cause: error });
  }
  if (value === null) throw new BuildError("invalid_argument", "invalid null image config for export");
  if (typeof value !== "object" || Array.isArray(value))
    throw new BuildError("invalid_argument", "failed to parse image config for patch: not a JSON object");
}

/** The text of the value that starts at `from`, and where the `,` or `}` after it is. The JSON is known to be valid. */
function scanValue(text: string, from: number): { readonly compact: string; readonly end: number } {
  const parts: string[] = [];
  let depth = 0;
  let at = from;
  for (;;) {
    const char = text[at] ?? "}";
    if (depth === 0 && (char === "," || char === "}")) return { compact: parts.join(""), end: at };
    if (char === "{" || char === "[") depth += 1;
    if (char === "}" || char === "]") depth -= 1;
    const end = char === '"' ? stringEnd(text, at) : at + 1;
    if (!/[ \t\r\n]/.test(char)) parts.push(text.slice(at, end));
    at = end;
  }
}

/** Index after the closing quote of the string that starts at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
