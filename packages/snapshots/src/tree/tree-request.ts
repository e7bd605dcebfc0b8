import type { ApplyDifferenceOptions } from "./apply-difference.ts";
import type { LinkLayersOptions } from "./link-layers.ts";

/** What the tree worker is asked to do. Paths are the snapshotter's own. */
export type TreeRequest =
  | { readonly verb: "measure"; readonly path: string }
  | { readonly verb: "remove"; readonly path: string }
  | { readonly verb: "copy"; readonly from: string; readonly to: string }
  | ({ readonly verb: "link" } & LinkLayersOptions)
  | ({ readonly verb: "applyDifference" } & ApplyDifferenceOptions);
