import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";

/**
 * Reads a boolean as Go's `strconv.ParseBool` does.
 *
 * @throws {BuildError} `invalid_argument`, `non-bool value specified for <key>…`.
 */
export function parseBoolAttribute(key: string, value: string): boolean {
  const flag = parseBool(value);
  if (flag !== undefined) return flag;
  throw new BuildError(
    "invalid_argument",
    `non-bool value specified for ${key}: strconv.ParseBool: parsing ${JSON.stringify(value.slice(0, 100))}: invalid syntax`,
  );
}

/** Like {@linkcode parseBoolAttribute}; a flag without a value is on. */
export function parseFlag(key: string, value: string): boolean {
  return value === "" || parseBoolAttribute(key, value);
}

/** Seconds since the epoch that timestamps are clamped to, if the key is set: an empty value switches clamping off. */
export interface Epoch {
  readonly seconds: number | undefined;
}

/**
 * Reads `source-date-epoch`.
 *
 * @throws {BuildError} `invalid_argument`
 */
export function parseEpoch(value: string, failure: string): Epoch {
  if (value === "") return { seconds: undefined };
  // Beyond this a Date has no such time.
  const seconds = /^[+-]?\d{1,13}$/.test(value) ? Number(value) : Number.NaN;
  if (!(Math.abs(seconds) <= 8_640_000_000_000))
    throw new BuildError(
      "invalid_argument",
      `${failure}: strconv.ParseInt: parsing ${JSON.stringify(value.slice(0, 100))}: invalid syntax`,
    );
  return { seconds };
}

/** The epoch that the frontend gave, for one platform or for the whole result. */
export function epochFromResult(metadata: ReadonlyMap<string, Uint8Array>, platform?: string): Epoch | undefined {
  const key = "source.date.epoch";
  const bytes = (platform === undefined ? undefined : metadata.get(`${key}/${platform}`)) ?? metadata.get(key);
  if (bytes === undefined) return undefined;
  const text = Buffer.from(bytes).toString("utf8");
  return parseEpoch(text, `invalid SOURCE_DATE_EPOCH from frontend: ${JSON.stringify(text.slice(0, 100))}`);
}
