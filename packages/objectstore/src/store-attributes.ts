import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool, parseDuration } from "@buildkit-ts/gotext";
import type { StoreAttributes, StoreEnvironment } from "./object-store.ts";

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
  return value !== undefined && parseBool(value) === true;
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
  const { nanoseconds } = parseDuration(text);
  return nanoseconds === undefined ? undefined : nanoseconds / 1e6;
}
