import type { MergeTreesOptions } from "./merge-trees.ts";

export type MergeRequest = { readonly verb: "merge" } & MergeTreesOptions;

/** What the tree worker is asked to do. Paths are the snapshotter's own. */
export type TreeRequest =
  | { readonly verb: "measure"; readonly path: string }
  | { readonly verb: "remove"; readonly path: string }
  | { readonly verb: "copy"; readonly from: string; readonly to: string }
  | MergeRequest;
