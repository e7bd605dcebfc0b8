import type { ContentEntry } from "@buildkit-ts/cache";
import { parseDigest } from "@buildkit-ts/oci";
import type { ReceivedDigest, ReceiveResult } from "@buildkit-ts/session";
import { decodeBytes, encodeBytes } from "@buildkit-ts/tar";

/**
 * The digests of a version: those of the version before that still hold, and those of what came.
 *
 * @returns undefined if not all are known.
 */
export function mergeDigests(
  previous: readonly ContentEntry[] | undefined,
  { changes, digests }: Pick<ReceiveResult, "changes" | "digests">,
): ContentEntry[] | undefined {
  if (previous === undefined || digests === undefined) return undefined;
  const gone = new Set(changes.filter(({ kind }) => kind === "delete").map(({ path }) => path));
  // What was in a directory went with it when something else took its name.
  for (const { kind, path } of digests) if (kind !== "directory") gone.add(path);
  const merged = new Map<string, ContentEntry>();
  for (const entry of previous) {
    const path = typeof entry.path === "string" ? entry.path : decodeBytes(entry.path);
    if (!isGone(path, gone)) merged.set(path, { ...entry, path: bytesOf(path) });
  }
  for (const received of digests) {
    if (received.kind !== "hardLink") merged.set(received.path, plainEntry(received));
  }
  // In the order of their names, so that a link to a link finds it.
  for (const received of digests) {
    if (received.kind !== "hardLink") continue;
    const entry = linkEntry(received, merged);
    if (entry === undefined) return undefined;
    merged.set(received.path, entry);
  }
  return [...merged.values()];
}

function isGone(path: string, gone: ReadonlySet<string>): boolean {
  if (gone.size === 0) return false;
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (gone.has(path.slice(0, end))) return true;
  }
  return false;
}

function plainEntry(received: Exclude<ReceivedDigest, { kind: "hardLink" }>): ContentEntry {
  const { kind, path } = received;
  const digest = parseDigest(received.digest);
  return { kind, path: bytesOf(path), digest, ...(kind === "symlink" && { linkname: bytesOf(received.linkName) }) };
}

/** Bytes, where the name is no UTF-8. */
function bytesOf(name: string): string | Uint8Array {
  return name.isWellFormed() ? name : encodeBytes(name);
}

function linkEntry(
  { path, linkName }: ReceivedDigest & { readonly kind: "hardLink" },
  known: ReadonlyMap<string, ContentEntry>,
): ContentEntry | undefined {
  const target = known.get(linkName);
  return target?.kind === "file" ? { kind: "file", path: bytesOf(path), digest: target.digest } : undefined;
}
