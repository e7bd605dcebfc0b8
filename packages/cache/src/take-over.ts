import type { CacheCore } from "./cache-core.ts";
import { LocalMutableRef } from "./local-mutable-ref.ts";
import type { CacheRecord, RecordValues } from "./record/cache-record.ts";
import { newId } from "./record/record-registry.ts";
import type { MutableRef } from "./refs.ts";

/**
 * Makes the tree of a record that only the caller holds one to write to, under a new id; the record is gone. A record's
 * content never changes, so what was known of it goes with it.
 *
 * @returns undefined, with nothing done, if somebody else holds it, is built on it, or knows what is in it.
 */
export async function takeOver(
  core: CacheCore,
  record: CacheRecord,
  values: Partial<RecordValues> & { readonly createdAt: number },
): Promise<MutableRef | undefined> {
  const { registry, snapshotter, blobs } = core;
  const { snapshot } = record.values;
  if (snapshot === undefined || !isOnlyTheCallers(core, record)) return undefined;
  const id = newId();
  const key = `${id}-active`;
  // From here on nobody is given it. A daemon that is killed before the new row is there leaves a snapshot without a name.
  registry.remove(record);
  try {
    await snapshotter.reopen(key, snapshot);
  } catch (error) {
    await snapshotter.remove(snapshot);
    throw error;
  }
  await using unnamed = new AsyncDisposableStack();
  unnamed.defer(async () => await snapshotter.remove(key));
  await blobs.unpin(record.id);
  const taken = registry.addNamed(
    id,
    { kind: "layer", parent: undefined },
    { ...values, mutable: true, snapshot: key },
  );
  unnamed.move();
  return new LocalMutableRef(core, taken);
}

function isOnlyTheCallers({ registry }: CacheCore, record: CacheRecord): boolean {
  const { structure, values } = record;
  if (record.holds > 1 || record.children.size > 0 || record.isGone || record.isLost || record.isTransient)
    return false;
  if (structure.kind !== "layer" || structure.parent !== undefined || values.mutable) return false;
  const isPlainTree = values.blobs.length === 0 && values.diffId === undefined && record.lazy === undefined;
  return isPlainTree && values.snapshot !== undefined && registry.recordsOfSnapshot(values.snapshot).size === 1;
}
