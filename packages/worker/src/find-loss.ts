import { LostContentError } from "@buildkit-ts/errdefs";
import type { Loss, Result } from "@buildkit-ts/solver";
import { refOfResult } from "./worker-result.ts";

/** Tells the solver which results a failure says to be lost: those of which a tree or a blob is gone, and what is made of them. */
export function findLoss(error: unknown): Loss | undefined {
  const lost = LostContentError.findIn(error);
  if (lost === undefined) return undefined;
  return {
    affects: (result) => {
      const ref = refOfResult(result);
      return ref !== undefined && (ref.isLost || ref.restsOn(lost.record));
    },
    // An image of which a blob cannot be fetched is the same one when it is asked for again.
    isKept: (result) => refOfResult(result)?.isLost !== true,
  };
}

/**
 * Looks at what a step was given that failed: whatever it says, it may have failed by that.
 *
 * @throws {LostContentError} if so. What keeps this from being known is no better answer than the step's own failure.
 */
export async function checkInputsOfFailed(inputs: readonly Result[]): Promise<void> {
  await checkInputs(inputs).catch((error: unknown) => {
    if (LostContentError.findIn(error) !== undefined) throw error;
  });
}

/** @throws {LostContentError} if files that a step was given are not there any more: it may have seen anything. */
export async function checkInputs(inputs: readonly Result[]): Promise<void> {
  for (const input of inputs) await refOfResult(input)?.checkPresent();
}
