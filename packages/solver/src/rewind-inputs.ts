import { BuildError } from "@buildkit-ts/errdefs";
import type { EdgeResult } from "./edge-result.ts";
import type { LostInputs } from "./loss.ts";
import type { ResolverInput } from "./resolver-input.ts";
import type { SeenLosses } from "./seen-losses.ts";
import type { VertexNode } from "./vertex-node.ts";

interface LostExecution {
  readonly inputs: readonly ResolverInput[];
  /** What the step was executed with, by input. */
  readonly used: readonly EdgeResult[];
  readonly lost: LostInputs;
  /** Counts executions by others with inputs that this edge does not have. */
  readonly others: SeenLosses;
}

/**
 * Forgets those inputs' results that were lost while a step was executed with them: they are made anew, and the step is
 * executed again.
 *
 * @throws {VertexError} naming what is lost, where nothing else can come of it.
 */
export async function rewindInputs(node: VertexNode, { inputs, used, lost, others }: LostExecution): Promise<void> {
  const affected = inputs.flatMap((input, i) => {
    const result = used[i];
    return result !== undefined && lost.loss.affects(result.result) ? [{ ...input, result }] : [];
  });
  // Another vertex with equal keys was executed, with results of its own: ours may be whole.
  if (affected.length === 0) {
    if (!others.admitExecution()) throw node.failures.fail(lost.cause);
    return;
  }
  for (const { edge, state, result } of affected) {
    if (state.losses.admit(result) && (await edge.rewind(result, lost.cause))) continue;
    const { code, message, hint } = BuildError.from(lost.cause);
    const text = `Cannot use "${edge.node.vertex.name}" for "${node.vertex.name}": ${message}`;
    throw node.failures.fail(new BuildError(code, text, { cause: lost.cause, ...(hint !== undefined && { hint }) }));
  }
}
