import { create } from "@bufbuild/protobuf";
import { opspb } from "@buildkit-ts/api";

/** The same places in source files for vertices that a policy gave other digests. */
export function renameSource(
  source: opspb.Source | undefined,
  renamed: ReadonlyMap<string, string>,
): opspb.Source | undefined {
  if (source === undefined) return undefined;
  const locations = Object.entries(source.locations).map(([digest, found]) => [renamed.get(digest) ?? digest, found]);
  return create(opspb.SourceSchema, { infos: source.infos, locations: Object.fromEntries(locations) });
}
