/** Milliseconds since the epoch as Go writes a time in JSON: RFC 3339 in UTC, without trailing zeros of the fraction. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0+Z$/, "Z");
}
