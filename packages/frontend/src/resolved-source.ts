import type { ResolveSourceMetaResponse } from "@buildkit-ts/api/buildkit/gateway";

/** What a source says of itself before it is fetched; only what its kind has. */
export interface ResolvedSource {
  /** Of a git source: the commit that its reference means, and the raw objects. */
  readonly commit?: string;
  readonly commitObject?: Uint8Array;
  readonly tagObject?: Uint8Array;
  /** Of an HTTP source: the digest of its content, and when it was changed, in seconds since the epoch. */
  readonly checksum?: string;
  readonly lastModified?: bigint;
}

/** The answer of a daemon without what it leaves empty. */
export function resolvedSource({ Git, HTTP }: ResolveSourceMetaResponse): ResolvedSource {
  const seconds = HTTP?.LastModified?.seconds;
  return {
    ...(Git !== undefined && Git.Checksum !== "" && { commit: Git.CommitChecksum || Git.Checksum }),
    ...(Git !== undefined && Git.CommitObject.length > 0 && { commitObject: Git.CommitObject }),
    ...(Git !== undefined && Git.TagObject.length > 0 && { tagObject: Git.TagObject }),
    ...(HTTP !== undefined && HTTP.Checksum !== "" && { checksum: HTTP.Checksum }),
    ...(seconds !== undefined && { lastModified: seconds }),
  };
}
