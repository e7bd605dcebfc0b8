import { BuildError } from "@buildkit-ts/errdefs";
import { resultPlatforms } from "@buildkit-ts/exporters";
import { formatPlatformAll, hostPlatform, normalizePlatform, type Platform, parsePlatform } from "@buildkit-ts/oci";
import type { BridgeResult } from "../bridge/bridge-ref.ts";

/**
 * What users should know of a result whose platforms are not those that they asked for.
 *
 * @throws {BuildError} `invalid_argument`, for refs by platform of which nothing says the platforms.
 */
export function platformWarnings(result: BridgeResult, attributes: Readonly<Record<string, string>>): string[] {
  const isMap = (result.refs?.size ?? 0) > 0;
  if (!result.metadata.has("refs.platforms")) {
    if (isMap)
      throw new BuildError("invalid_argument", "build result contains multiple refs without platforms mapping");
    if (result.ref === undefined) return [];
  }
  const { names, warnings } = readRequested(attributes["platform"]);
  if (warnings.length > 0) return warnings;
  const given = resultPlatforms(result.metadata).map(({ platform }) => normalizePlatform(platform));
  if (names.size === 1 && given.length === 1) return oneForOne([...names][0] ?? "", given[0], attributes["platform"]);
  if (names.size > 1 && !isMap) return ["Multiple platforms requested but result is not multi-platform"];
  return compareAll(names, given.map(formatPlatformAll));
}

function compareAll(asked: ReadonlySet<string>, given: readonly string[]): string[] {
  if (asked.size === given.length && given.every((name) => asked.has(name))) return [];
  return [`Requested platforms ${list([...asked])} do not match result platforms ${list(given)}`];
}

function list(names: readonly string[]): string {
  return names.toSorted().join(",");
}

function readRequested(option: string | undefined): { readonly names: Set<string>; readonly warnings: string[] } {
  const names = new Set<string>();
  const warnings: string[] = [];
  for (const text of option === undefined ? [formatPlatformAll(hostPlatform())] : option.split(",")) {
    try {
      const name = formatPlatformAll(normalizePlatform(parsePlatform(text)));
      if (names.has(name)) warnings.push(`Duplicate platform result requested "${text}"`);
      names.add(name);
    } catch (error) {
      warnings.push(`Invalid platform result requested "${text}": ${BuildError.from(error).message}`);
    }
  }
  return { names, warnings };
}

/** A version of the operating system that nobody asked for is no difference. */
function oneForOne(asked: string, given: Platform | undefined, option: string | undefined): string[] {
  if (given === undefined) return [];
  const { "os.version": _version, ...plain } = given;
  if (asked === formatPlatformAll(given) || asked === formatPlatformAll(plain)) return [];
  return [`Requested platform "${option ?? asked}" does not match result platform "${formatPlatformAll(given)}"`];
}
