import type { opspb } from "@buildkit-ts/api";

/**
 * Where each step of a definition comes from, such as `Dockerfile:7`, by its digest.
 *
 * @param names The digests of ops that have others now than in the definition.
 */
export function stepLocations(
  source: opspb.Source | undefined,
  names: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [digest, { locations }] of Object.entries(source?.locations ?? {})) {
    const [location] = locations;
    const filename = location === undefined ? undefined : source?.infos[location.sourceIndex]?.filename;
    const line = location?.ranges[0]?.start?.line;
    if (filename !== undefined && line !== undefined) found.set(names.get(digest) ?? digest, `${filename}:${line}`);
  }
  return found;
}
