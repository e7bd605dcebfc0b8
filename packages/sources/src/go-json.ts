/** JSON in the spelling of Go's `encoding/json`, for what is hashed into cache keys: `<`, `>`, `&` are escaped. */
export function formatGoJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
