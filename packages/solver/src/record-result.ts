import { askStore } from "./ask-store.ts";
import { asSolverKey } from "./key-search.ts";
import type { SolverKey } from "./solver-key.ts";
import type { Result } from "./types.ts";
import type { VertexNode } from "./vertex-node.ts";

/** Stores a result that was just made under all of its keys; gives the keys as the main store knows them now. */
export async function recordResult(
  node: VertexNode,
  result: Result,
  keys: readonly SolverKey[],
): Promise<readonly SolverKey[]> {
  const { cache, now, reporter } = node.environment;
  const createdAt = now();
  const saved: SolverKey[] = [];
  for (const key of keys) {
    const kept = await askStore(cache, reporter, () => cache.save(key, result, createdAt));
    const own = kept === undefined ? key : asSolverKey(kept, key.deps);
    const records = (own.persistent ? await askStore(cache, reporter, () => cache.records(own)) : undefined) ?? [];
    // The newest record is the one that is found: where the clock was set back, what was made later is not it by its time.
    const newest = Math.max(...records.filter(({ id }) => id !== result.id).map((other) => other.createdAt));
    if (newest > createdAt) await askStore(cache, reporter, () => cache.save(own, result, newest + 1));
    own.origin = {
      vertex: node.vertex.digest,
      exportCache: node.vertex.options.exportCache,
      records: records.map((record) => ({ store: cache, record, key: own })),
    };
    saved.push(own);
  }
  return saved;
}
