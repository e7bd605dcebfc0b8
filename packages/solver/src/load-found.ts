import { BuildError } from "@buildkit-ts/errdefs";
import { askStore } from "./ask-store.ts";
import type { EdgeKeys } from "./edge-keys.ts";
import type { EdgeResult } from "./edge-result.ts";
import type { Scope } from "./scope.ts";
import type { VertexNode } from "./vertex-node.ts";

/**
 * Loads the best record that was found for an edge and can be loaded. One that cannot is as good as none.
 *
 * @param options.keepLinks Whether to record also what else is known to lead to it by now.
 */
export async function loadFound(
  node: VertexNode,
  keys: EdgeKeys,
  { scope, keepLinks }: { readonly scope: Scope; readonly keepLinks: boolean },
): Promise<EdgeResult | undefined> {
  const { cache, losses, reporter } = node.environment;
  for (;;) {
    const best = keys.search.records.takeBest(cache.id);
    if (best === undefined) return undefined;
    if (losses.isGivenUp(best.store)) continue;
    try {
      const result = await node.load(best, scope);
      const key = keepLinks ? keys.withAllLinks(best.key) : best.key;
      if (keepLinks || best.store.id !== cache.id) {
        await askStore(cache, reporter, () => cache.save(key, result, best.record.createdAt));
      }
      return { result, keys: [key], record: best };
    } catch (error) {
      scope.throwIfAborted();
      if (BuildError.from(error).code === "not_found") continue;
      reporter.report(error, `load of the cached result of "${node.vertex.name}"`);
      node.warnOfLoss(error);
    }
  }
}
