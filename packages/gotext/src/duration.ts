import { quote } from "./quote.ts";

const unitNanoseconds: ReadonlyMap<string, number> = new Map([
  ["ns", 1],
  ["us", 1e3],
  ["µs", 1e3],
  ["μs", 1e3],
  ["ms", 1e6],
  ["s", 1e9],
  ["m", 60e9],
  ["h", 3600e9],
]);

/** What came of reading a duration: its nanoseconds, or what is wrong with it in the words of Go's `time.ParseDuration`. */
export type ReadDuration =
  | { readonly nanoseconds: number; readonly problem?: never }
  | { readonly nanoseconds?: never; readonly problem: string };

/** Reads a duration such as `1m30s` or `-1.5h`; beyond 2⁵³ ns (104 days) the result is rounded. */
export function parseDuration(text: string): ReadDuration {
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[-+]/, "");
  if (rest === "0") return { nanoseconds: 0 };
  let total = 0;
  do {
    const number = /^(?:\d+\.?\d*|\.\d+)/.exec(rest)?.[0];
    if (number === undefined) return { problem: `time: invalid duration ${quote(text)}` };
    rest = rest.slice(number.length);
    const unit = /^[^.0-9]+/.exec(rest)?.[0];
    if (unit === undefined) return { problem: `time: missing unit in duration ${quote(text)}` };
    const scale = unitNanoseconds.get(unit);
    if (scale === undefined) return { problem: `time: unknown unit ${quote(unit)} in duration ${quote(text)}` };
    rest = rest.slice(unit.length);
    total += Math.trunc(Number(number) * scale);
    if (total > 2 ** 63) return { problem: `time: invalid duration ${quote(text)}` };
  } while (rest !== "");
  return { nanoseconds: sign * total };
}

/** A number of nanoseconds as Go prints a duration: `1m30s`, `1.5ms`, `0s`. */
export function formatDuration(nanoseconds: number | bigint): string {
  if (Number(nanoseconds) === 0) return "0s";
  const sign = nanoseconds < 0 ? "-" : "";
  const value = absolute(nanoseconds);
  if (value < 1_000n) return `${sign}${value}ns`;
  if (value < 1_000_000n) return `${sign}${decimal(value, 3)}µs`;
  if (value < 1_000_000_000n) return `${sign}${decimal(value, 6)}ms`;
  const minutes = value / 60_000_000_000n;
  const seconds = `${decimal(value % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return sign + seconds;
  return minutes < 60n ? `${sign}${minutes}m${seconds}` : `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

function absolute(nanoseconds: number | bigint): bigint {
  const whole = typeof nanoseconds === "bigint" ? nanoseconds : BigInt(Math.trunc(nanoseconds));
  return whole < 0n ? -whole : whole;
}

function decimal(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  return text.slice(0, -digits) + (fraction === "" ? "" : `.${fraction}`);
}
