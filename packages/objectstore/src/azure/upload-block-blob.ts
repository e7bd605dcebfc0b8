import type { Readable } from "node:stream";
import type { BlockBlobClient } from "@azure/storage-blob";
import type { StoreOptions } from "../object-store.ts";

/** How large a block is at least, how many are sent side by side, and how many one blob may have. */
const minBlockBytes = 4 << 20;
const concurrency = 4;
const maxBlocks = 50_000;

/** Writes a blob of a known size in blocks, of which a few are in memory at a time. */
export async function uploadBlockBlob(
  client: BlockBlobClient,
  body: Readable,
  options: StoreOptions & { readonly size: number; readonly ifAbsent: boolean },
): Promise<void> {
  const { signal, size, ifAbsent } = options;
  const blockBytes = Math.max(minBlockBytes, Math.ceil(size / maxBlocks));
  try {
    await client.uploadStream(body, blockBytes, concurrency, {
      abortSignal: signal,
      ...(ifAbsent && { conditions: { ifNoneMatch: "*" } }),
    });
  } finally {
    body.destroy();
  }
}
