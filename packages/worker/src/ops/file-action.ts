import type { opspb } from "@buildkit-ts/api";
import type { FileAction, Owner } from "@buildkit-ts/fileop";
import { invalid } from "../definition/validate-op.ts";

/** The action as the backend takes it, with its owner looked up. */
export function createFileAction({ action }: opspb.FileAction, owner: Owner | undefined): FileAction {
  const owned = owner === undefined ? {} : { owner };
  switch (action.case) {
    case "mkfile": {
      const { path, mode, data, timestamp } = action.value;
      return { kind: "mkfile", path, mode, data, ...owned, ...time(timestamp) };
    }
    case "mkdir": {
      const { path, mode, makeParents, timestamp } = action.value;
      return { kind: "mkdir", path, mode, makeParents, ...owned, ...time(timestamp) };
    }
    case "symlink": {
      const { oldpath, newpath, timestamp } = action.value;
      return { kind: "symlink", oldPath: oldpath, newPath: newpath, ...owned, ...time(timestamp) };
    }
    case "rm": {
      const { path, allowNotFound, allowWildcard } = action.value;
      return { kind: "rm", path, allowNotFound, allowWildcard };
    }
    case "copy":
      return createCopy(action.value, owned);
    case undefined:
      throw invalid("invalid action type <nil>");
  }
}

function createCopy(copy: opspb.FileActionCopy, owned: { readonly owner?: Owner }): FileAction {
  return {
    kind: "copy",
    source: copy.src,
    destination: copy.dest,
    ...owned,
    ...(copy.modeStr !== "" ? { mode: copy.modeStr } : copy.mode !== -1 && { mode: copy.mode }),
    followSymlink: copy.followSymlink,
    directoryContents: copy.dirCopyContents,
    unpackArchives: copy.attemptUnpackDockerCompatibility,
    createDestinationPath: copy.createDestPath,
    allowWildcard: copy.allowWildcard,
    allowEmptyWildcard: copy.allowEmptyWildcard,
    includePatterns: copy.includePatterns,
    excludePatterns: copy.excludePatterns,
    requiredPaths: copy.requiredPaths,
    alwaysReplaceExisting: copy.alwaysReplaceExistingDestPaths,
    ...time(copy.timestamp),
  };
}

function time(timestamp: bigint): { readonly timestampNs?: bigint } {
  return timestamp === -1n ? {} : { timestampNs: timestamp };
}
