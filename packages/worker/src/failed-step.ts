import type { ImmutableRef } from "@buildkit-ts/cache";
import { BuildError, ExecError } from "@buildkit-ts/errdefs";
import type { OpContext, Result } from "@buildkit-ts/solver";
import { WorkerResult } from "./worker-result.ts";

/** Where a build keeps what its failed steps left, for as long as its client may look into it. */
export interface FailureStore {
  /** Takes over the hold. */
  keep(result: Result): Promise<void>;
}

/** The key by which a build's job has its {@linkcode FailureStore}; without one nothing is kept. */
export const failureStoreKey = "failures";

/** The trees that a failed step was given and that it left; those that it left are the caller's to give up. */
export interface FailedTrees {
  readonly inputs: readonly (Result | undefined)[];
  readonly left: () => Promise<readonly (ImmutableRef | undefined)[]>;
}

/**
 * Hands what a failed step left to the builds that wait for it, and gives the failure with the ids of it all.
 *
 * A failure in doing so is not told: the step's own is what the user has to know.
 */
export async function keepFailedStep(
  failure: unknown,
  trees: FailedTrees,
  options: { readonly workerId: string; readonly context: OpContext },
): Promise<ExecError> {
  const { workerId, context } = options;
  const stores = context.values(failureStoreKey) as readonly FailureStore[];
  const inputs = trees.inputs.map((result) => result?.id ?? "");
  if (stores.length === 0) return new ExecError(failure, { inputs, mounts: [] });
  const left = await trees.left().catch((error: unknown) => {
    // Whatever it was: a tree that cannot be kept cannot be looked into.
    const { message } = BuildError.from(error);
    context.progress.log(2, Buffer.from(`cannot keep what the step left: ${message}\n`));
    return [];
  });
  const results = left.map((ref) => (ref === undefined ? undefined : new WorkerResult(workerId, ref)));
  for (const result of results) {
    for (const store of stores) if (result !== undefined) await store.keep(result.clone());
    await result?.[Symbol.asyncDispose]();
  }
  return new ExecError(failure, { inputs, mounts: results.map((result) => result?.id ?? "") });
}
