import type { SnapshotDifference } from "./snapshotter.ts";

/** One step of a merge, by ids of snapshots. Stacks are the highest first. */
export interface SnapshotMergeStep {
  readonly kind: "layer" | "difference";
  /** The layer with all below it, or the tree that is compared. */
  readonly upper: readonly number[];
  readonly lower: readonly number[];
}

/**
 * What is to be merged for a tree or a difference: layer by layer where one tree is built on the other, since a layer says
 * itself what it changes; else what a comparison finds.
 *
 * @param chain A snapshot's id and those of its ancestors, its own first.
 */
export function mergeStepsOf(
  input: string | SnapshotDifference,
  chain: (name: string) => readonly number[],
): SnapshotMergeStep[] {
  const { lower, upper } = typeof input === "string" ? { lower: undefined, upper: input } : input;
  const below = lower === undefined ? [] : chain(lower);
  const above = upper === undefined ? [] : chain(upper);
  const between = above.length - below.length;
  const isBuiltOn = between >= 0 && below.every((id, index) => id === above[between + index]);
  if (!isBuiltOn) return [{ kind: "difference", upper: above, lower: below }];
  return Array.from({ length: between }, (_, index) => {
    const at = between - 1 - index;
    return { kind: "layer", upper: above.slice(at), lower: above.slice(at + 1) };
  });
}
