import { BuildError, InputKeyError } from "@buildkit-ts/errdefs";
import type { EdgeKeys } from "./edge-keys.ts";
import type { EdgeResult } from "./edge-result.ts";
import { LostResult } from "./lost-result.ts";
import type { ResolverInput } from "./resolver-input.ts";
import type { Scope } from "./scope.ts";
import type { VertexNode } from "./vertex-node.ts";

/** The result of an input, ready for use, with its content key looked up. A result whose content is gone is built again. */
export async function inputResult(
  node: VertexNode,
  keys: EdgeKeys,
  { input, scope }: { readonly input: ResolverInput; readonly scope: Scope },
): Promise<EdgeResult> {
  const { edge, state } = input;
  for (;;) {
    const completed = await edge.complete(scope);
    try {
      const content = await node.answers.inputDigest(state.index, completed.result, scope);
      const links = state.widen(content);
      if (keys.cacheMap !== undefined) await keys.search.query(state, keys.cacheMap.digest, links);
      return completed;
    } catch (error) {
      scope.throwIfAborted();
      const cause = error instanceof LostResult ? error.cause : error;
      const isLost = error instanceof LostResult || isLoss(node, error);
      if (isLost && state.losses.admit(completed) && (await edge.rewind(completed, cause))) continue;
      const about = { index: state.index, result: completed.result.id };
      throw node.failures.fail(new InputKeyError(cause, about), "failed to compute cache key");
    }
  }
}

function isLoss({ environment }: VertexNode, error: unknown): boolean {
  return environment.lossOf(error) !== undefined || BuildError.from(error).code === "not_found";
}
