import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreAttributes, StoreEnvironment } from "./object-store.ts";

const milliseconds: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** The attribute; where the client leaves it out, the daemon's variable. An empty value is a value. */
export function attributeOr(
  attributes: StoreAttributes,
  name: string,
  fallback: { readonly environment: StoreEnvironment; readonly variable: string },
): string | undefined {
  return attributes[name] ?? fallback.environment[fallback.variable];
}

/** The names in `name`, between semicolons. */
export function indexNames(attributes: StoreAttributes): readonly [string, ...string[]] {
  const [first = "", ...others] = (attributes["name"] ?? "buildkit").split(";");
  return [first, ...others];
}

/** As Go's `strconv.ParseBool` reads it; what it cannot read is `false`. */
export function isTrue(value: string | undefined): boolean {
  return value !== undefined && /^(1|t|T|TRUE|true|True)$/.test(value);
}

/** @throws {BuildError} `invalid_argument`, for what is no positive integer. */
export function positiveInteger(attributes: StoreAttributes, name: string): number | undefined {
  const text = attributes[name];
  if (text === undefined) return undefined;
  if (!/^\+?\d{1,9}$/.test(text) || Number(text) === 0)
    throw new BuildError("invalid_argument", `${name} must be a positive integer`);
  return Number(text);
}

/** A Go duration such as `1h30m` in milliseconds; undefined for what is none. */
export function durationMs(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  return parts.reduce((sum, [, amount = "0", unit = ""]) => sum + Number(amount) * (milliseconds[unit] ?? 0), 0);
}
