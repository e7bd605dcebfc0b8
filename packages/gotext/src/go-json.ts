/**
 * A value as JSON text in the spelling of Go's `encoding/json`, so that equal values have equal digests: `<`, `>`, `&`
 * and two line separators are escaped inside strings. Members keep the order in which they were set.
 */
export function formatGoJson(value: unknown, indent?: string | number): string {
  return escapeGoJson(JSON.stringify(value, undefined, indent));
}

/** JSON text with the characters escaped that Go's encoder escapes. They stand in strings alone, so the value is the same. */
export function escapeGoJson(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The record with its members sorted by the bytes of their keys, as Go sorts maps. */
export function sortKeys<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(
    Object.entries(record).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  );
}
