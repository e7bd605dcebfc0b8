import { type AbortCheck, AT_FDCWD } from "@buildkit-ts/sys";
import { DifferenceMerger } from "./merge-difference.ts";
import { LayerMerger } from "./merge-layer.ts";
import { MergeTarget } from "./merge-target.ts";
import { StackDirectory, type TreeForm } from "./stack-directory.ts";

/** What is merged next. Directories are named the highest first. */
export interface MergeStep {
  /** The changes that one layer says it makes, or what is found by comparing two trees. */
  readonly kind: "layer" | "difference";
  /** One layer, or a whole tree. */
  readonly upper: readonly string[];
  /** What the changes were made to. */
  readonly lower: readonly string[];
}

export interface MergeTreesOptions {
  readonly steps: readonly MergeStep[];
  /** An existing directory: a tree, or the upper directory of an overlay. */
  readonly target: string;
  /** What lies below the target, highest first. */
  readonly base: readonly string[];
  readonly form: TreeForm;
  /** Inodes that the base shares with other trees: to link them again would make two files of the result one. */
  readonly inodesBelow?: BigUint64Array;
}

/**
 * Makes in one tree the changes that led to others. What a layer deletes is what its own lower layers had: an opaque directory
 * of one tree does not hide what another tree has in that place.
 */
export function mergeTrees(options: MergeTreesOptions, checkAborted: AbortCheck): void {
  const { form } = options;
  using target = new MergeTarget(options.target, { ...options, checkAborted });
  for (const step of options.steps) {
    target.beginStep();
    using lower = StackDirectory.open(step.lower, form);
    using upper = StackDirectory.open(step.upper, form);
    const merger = step.kind === "layer" ? new LayerMerger(target, form) : new DifferenceMerger(target);
    merger.mergeRoot({ lower, upper });
    const [top] = step.upper;
    if (top !== undefined) target.setAttributes({ fd: AT_FDCWD, path: options.target }, { fd: AT_FDCWD, path: top });
  }
}
