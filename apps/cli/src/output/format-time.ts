import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since the epoch, with fractions. */
export function milliseconds(time: Timestamp): number {
  return Number(time.seconds) * 1000 + time.nanos / 1e6;
}

/** RFC 3339 in UTC with as many digits of the second as are set, as Go writes JSON. */
export function formatTime(time: Timestamp): string {
  const whole = new Date(Number(time.seconds) * 1000).toISOString().slice(0, 19);
  const fraction = time.nanos === 0 ? "" : `.${String(time.nanos).padStart(9, "0").replace(/0+$/, "")}`;
  return `${whole}${fraction}Z`;
}

/** RFC 3339 in local time, to the second. */
export function formatLocalTime(time: Timestamp): string {
  const date = new Date(milliseconds(time));
  const offset = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19);
  if (offset === 0) return `${local}Z`;
  const two = (value: number): string => String(value).padStart(2, "0");
  const minutes = Math.abs(offset);
  return `${local}${offset < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

const goUnits = [
  ["h", 3_600_000_000_000n],
  ["m", 60_000_000_000n],
] as const;

/** A duration in nanoseconds as Go writes it: `48h0m0s`. */
export function formatDuration(nanoseconds: bigint): string {
  let rest = nanoseconds;
  let text = "";
  for (const [unit, size] of goUnits) {
    if (text === "" && rest < size) continue;
    text += `${rest / size}${unit}`;
    rest %= size;
  }
  return `${text}${Number(rest) / 1e9}s`;
}

const durationUnits: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** A duration such as `1h30m` in nanoseconds; undefined for anything else. */
export function parseDuration(text: string): bigint | undefined {
  if (text === "0") return 0n;
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (durationUnits[unit ?? ""] ?? 0);
  }
  return BigInt(Math.round(total));
}
