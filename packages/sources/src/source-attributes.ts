import { BuildError } from "@buildkit-ts/errdefs";
import { parseBool } from "@buildkit-ts/gotext";

/**
 * A list of texts from the JSON that an attribute holds; undefined for `null` and for an attribute that is not there.
 *
 * @throws {BuildError} `invalid_argument`, naming the attribute.
 */
export function parseTextList(name: string, value: string | undefined): readonly string[] | undefined {
  if (value === undefined) return undefined;
  const parsed = parseJson(name, value);
  if (parsed === null) return undefined;
  if (!Array.isArray(parsed) || !parsed.every((item) => typeof item === "string"))
    throw invalidAttribute(name, value, "not a JSON list of texts");
  return parsed;
}

/** @throws {BuildError} `invalid_argument`, naming the attribute. */
export function parseBoolAttribute(name: string, value: string | undefined): boolean {
  if (value === undefined) return false;
  const flag = parseBool(value);
  if (flag !== undefined) return flag;
  throw new BuildError("invalid_argument", `invalid value for ${name} ${JSON.stringify(value.slice(0, 100))}`);
}

/**
 * A whole number of at least 0, as Go's `strconv.ParseInt` reads one with base 0: `0755` and `0o755` are octal.
 *
 * @throws {BuildError} `invalid_argument`, naming the attribute.
 */
export function parseIntegerAttribute(name: string, value: string | undefined): number {
  if (value === undefined) return 0;
  if (/^0[xX][0-9a-fA-F]{1,8}$/.test(value)) return Number.parseInt(value, 16);
  if (/^0[oO]?[0-7]{1,11}$/.test(value)) return Number.parseInt(value.replace(/^0[oO]?/, ""), 8);
  if (/^(0|[1-9]\d{0,9})$/.test(value)) return Number(value);
  throw invalidAttribute(name, value, "not a whole number");
}

/** The error for an attribute's value. */
export function invalidAttribute(name: string, value: string, why: string): BuildError {
  return new BuildError(
    "invalid_argument",
    `Cannot use attribute "${name}" with value ${JSON.stringify(value.slice(0, 200))}: ${why}`,
  );
}

function parseJson(name: string, value: string): unknown {
  try {
    return JSON.parse(value);
  } catch (error) {
    throw new BuildError("invalid_argument", `Cannot use attribute "${name}": not JSON`, { cause: error });
  }
}

/** The part of `scheme://rest` after the scheme. @throws {BuildError} `invalid_argument`, for another scheme. */
export function stripScheme(identifier: string, scheme: string): string {
  if (!identifier.startsWith(`${scheme}://`))
    throw new BuildError("invalid_argument", `invalid ${scheme} identifier ${identifier.slice(0, 200)}`);
  return identifier.slice(scheme.length + 3);
}
