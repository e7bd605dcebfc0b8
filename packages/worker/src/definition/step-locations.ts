import type { opspb } from "@buildkit-ts/api";

/** Where each step of a definition comes from, such as `Dockerfile:7`, by its digest. */
export function stepLocations(source: opspb.Source | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [digest, { locations }] of Object.entries(source?.locations ?? {})) {
    const [location] = locations;
    const filename = location === undefined ? undefined : source?.infos[location.sourceIndex]?.filename;
    const line = location?.ranges[0]?.start?.line;
    if (filename !== undefined && line !== undefined) found.set(digest, `${filename}:${line}`);
  }
  return found;
}
