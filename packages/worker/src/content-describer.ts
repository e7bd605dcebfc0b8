import type { CacheManager } from "@buildkit-ts/cache";
import { digestOf } from "@buildkit-ts/oci";
import type { ContentDescriber } from "@buildkit-ts/solver";
import { type ContentSelector, rootedPath } from "./content-selector.ts";
import { refOptions } from "./ref-options.ts";
import { refOfResult } from "./worker-result.ts";

const emptyBytes = Buffer.from("[]");
const emptyListing = {
  root: digestOf(emptyBytes),
  files: 0,
  directories: new Map([[digestOf(emptyBytes), emptyBytes]]),
};

/** Lists the files that the selectors find in an input: what its content key is made of. */
export function createContentDescriber(
  cache: Pick<CacheManager, "listContent" | "withSameBytes">,
  selectors: readonly ContentSelector[],
): ContentDescriber {
  const wanted = selectors.length === 0 ? [{ path: "/" }] : selectors;
  const queries = wanted.map(({ path, ...filters }) => ({ ...filters, path: rootedPath(path) }));
  return {
    list: async (result, context) => {
      const ref = refOfResult(result);
      if (ref === undefined) return emptyListing;
      return await cache.listContent(ref, queries, refOptions(context));
    },
    withSameBytes: async (result, files, context) => {
      const ref = refOfResult(result);
      if (ref === undefined) return files.map(() => false);
      return await cache.withSameBytes(ref, files, refOptions(context));
    },
  };
}
