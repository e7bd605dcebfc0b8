import { Readable } from "node:stream";
import type { Clock } from "@buildkit-ts/async";
import { BuildError } from "@buildkit-ts/errdefs";
import type { StoreOptions } from "../object-store.ts";
import type { CacheApi } from "./cache-api.ts";

/** How long whoever holds the next number may take, before it counts as dead. */
const patienceMs = 15_000;
const pauseMs = 2000;

/**
 * Stores bytes under a key whose entry changes, in a service where none does: as `key#1`, `key#2` and so on, of which
 * readers take the newest by asking for `key#`.
 *
 * The next number may be somebody else's, who is still writing: then their entry is waited for, and comes before ours.
 */
export async function saveIndex(
  api: CacheApi,
  entry: { readonly key: string; readonly bytes: Uint8Array },
  options: StoreOptions & { readonly clock: Clock },
): Promise<void> {
  const { signal, clock } = options;
  const content = {
    size: entry.bytes.length,
    read: ({ offset, size }: { readonly offset: number; readonly size: number }) =>
      Readable.from([entry.bytes.subarray(offset, offset + size)], { objectMode: false }),
  };
  let number = await newestNumber(api, entry.key, options);
  for (let waitedMs = 0; ; ) {
    number += 1;
    try {
      await api.save(`${entry.key}#${number}`, content, { signal });
      return;
    } catch (error) {
      if (!(error instanceof BuildError) || error.code !== "already_exists") throw error;
    }
    // Whoever held it that long is dead, and its number is left out.
    if (waitedMs > patienceMs) continue;
    waitedMs += pauseMs;
    await clock.sleep(pauseMs, { signal });
    number = await newestNumber(api, entry.key, options);
  }
}

async function newestNumber(api: CacheApi, key: string, { signal }: StoreOptions): Promise<number> {
  const newest = await api.find(`${key}#`, { signal });
  if (newest === undefined) return 0;
  const number = newest.key.startsWith(`${key}#`) ? newest.key.slice(key.length + 1) : "";
  if (!/^\d{1,15}$/.test(number))
    throw new BuildError("data_loss", `Cannot save index "${key}": its newest entry has no number`);
  return Number(number);
}
