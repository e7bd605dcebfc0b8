import type { BlobDirectory } from "@buildkit-ts/session/serving";
import { listIndexEntries } from "./oci-index.ts";

/** Larger blobs are no manifests. */
const maxManifestBytes = 8 << 20;

/** What a blob that may be a manifest or an index names. */
interface Names {
  readonly config?: unknown;
  readonly layers?: unknown;
  readonly manifests?: unknown;
}

/** Deletes the blobs of an OCI layout that nothing in its index leads to. */
export async function removeUnreferenced(layout: string, store: BlobDirectory): Promise<void> {
  const referenced = new Set<string>();
  const waiting = listIndexEntries(layout).map(({ digest }) => digest);
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (referenced.has(digest)) continue;
    referenced.add(digest);
    waiting.push(...(await namedBy(digest, store)));
  }
  // An index that leads to nothing is more likely broken than meant.
  if (referenced.size === 0) return;
  const all = await Array.fromAsync(store.list());
  for (const { digest } of all) if (!referenced.has(digest)) await store.delete(digest);
}

async function namedBy(digest: string, store: BlobDirectory): Promise<string[]> {
  const blob = await store.find(digest);
  if (blob === undefined || blob.size > maxManifestBytes) return [];
  const chunks = await Array.fromAsync(store.read(digest, { offset: 0, length: blob.size }));
  let value: Names | null;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Names | null;
  } catch {
    // A layer.
    return [];
  }
  const descriptors = [value?.config, value?.layers, value?.manifests].flat() as ({ digest?: unknown } | undefined)[];
  return descriptors.flatMap((descriptor) => (typeof descriptor?.digest === "string" ? descriptor.digest : []));
}
