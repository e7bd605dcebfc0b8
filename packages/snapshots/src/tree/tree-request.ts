import type { SnapshotUsage } from "../snapshotter.ts";
import type { MergeTreesOptions } from "./merge-trees.ts";

export type MergeRequest = { readonly verb: "merge" } & MergeTreesOptions;

/** What the tree worker is asked to do. Paths are the snapshotter's own. */
export type TreeRequest =
  | { readonly verb: "measure"; readonly paths: readonly string[] }
  | { readonly verb: "remove"; readonly path: string }
  | { readonly verb: "copy"; readonly from: string; readonly to: string }
  | MergeRequest;

/** Of trees that were measured, in the order of their paths. */
export type TreeResult = readonly SnapshotUsage[] | undefined;
