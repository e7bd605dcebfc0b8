import type { ContentEntry, DigestChanges } from "@buildkit-ts/cache";
import { parseDigest } from "@buildkit-ts/oci";
import type { ReceivedDigest, ReceiveResult } from "@buildkit-ts/session";
import { encodeBytes } from "@buildkit-ts/tar";

/**
 * How the digests of a version differ from those of the version before.
 *
 * @returns undefined if not all that came are known.
 */
export function digestChanges({
  changes,
  digests,
}: Pick<ReceiveResult, "changes" | "digests">): DigestChanges | undefined {
  if (digests === undefined) return undefined;
  const gone = changes.filter(({ kind }) => kind === "delete").map(({ path }) => bytesOf(path));
  const entries: ContentEntry[] = [];
  const links: { path: string | Uint8Array; target: string | Uint8Array }[] = [];
  for (const received of digests) {
    // What was in a directory went with it when something else took its name.
    if (received.kind !== "directory") gone.push(bytesOf(received.path));
    if (received.kind !== "hardLink") entries.push(entryOf(received));
    else links.push({ path: bytesOf(received.path), target: bytesOf(received.linkName) });
  }
  return { gone, entries, links };
}

function entryOf(received: Exclude<ReceivedDigest, { kind: "hardLink" }>): ContentEntry {
  const { kind, path } = received;
  const digest = parseDigest(received.digest);
  return { kind, path: bytesOf(path), digest, ...(kind === "symlink" && { linkname: bytesOf(received.linkName) }) };
}

/** Bytes, where the name is no UTF-8. */
function bytesOf(name: string): string | Uint8Array {
  return name.isWellFormed() ? name : encodeBytes(name);
}
