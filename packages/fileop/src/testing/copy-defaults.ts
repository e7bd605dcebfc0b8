import type { CopyAction } from "../file-actions.ts";

/** A copy of everything to the root, with nothing wished for. */
export const copyDefaults: CopyAction = {
  kind: "copy",
  source: "/",
  destination: "/",
  followSymlink: false,
  directoryContents: false,
  unpackArchives: false,
  createDestinationPath: true,
  allowWildcard: false,
  allowEmptyWildcard: false,
  includePatterns: [],
  excludePatterns: [],
  requiredPaths: [],
  alwaysReplaceExisting: false,
};
