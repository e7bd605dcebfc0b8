import {
  type At,
  type FileStat,
  findLstatAt,
  findXattr,
  listXattrs,
  lstatAt,
  pathOfAt,
  readNames,
} from "@buildkit-ts/sys";
import { walkChanges } from "./double-walk.ts";
import { isSameFile, openChildDirectory } from "./same-file.ts";
import { joinPath, nameText, type TreeChange } from "./tree-change.ts";

/** An upper directory uses a feature of overlay that hides content in other directories, so that it alone is no diff. */
export class UnsupportedUpperError extends Error {}

/** An open directory of an upper directory, and the same one of the merged lower layers where those have it. */
export interface UpperDirectory {
  readonly path: string;
  readonly upper: number;
  readonly lower: number | undefined;
}

/**
 * The changes that an overlay upper directory holds, found by reading it alone and looking up its names below.
 *
 * @throws {UnsupportedUpperError} for redirected directories and files without data: compare the mounted trees instead.
 */
export function* walkUpperChanges(directory: UpperDirectory): Generator<TreeChange, void> {
  for (const name of readNames(directory.upper)) {
    const path = joinPath(directory.path, nameText(name));
    const at = { fd: directory.upper, path: name };
    const lowerAt = { fd: directory.lower ?? -1, path: name };
    const stat = lstatAt(at);
    const lowerStat = directory.lower === undefined ? undefined : findLstatAt(lowerAt);
    if (stat.isWhiteout()) {
      if (lowerStat !== undefined) yield { kind: "deleted", path };
      continue;
    }
    const opaque = readOverlayMarks(at, stat) && lowerStat !== undefined;
    // A parent of what changed is in the upper directory too; BuildKit leaves it out here if it is the same.
    if (lowerStat === undefined) yield { kind: "added", path, at, stat };
    else if (!isSameFile({ at: lowerAt, stat: lowerStat }, { at, stat })) yield { kind: "modified", path, at, stat };
    if (!stat.isDirectory()) continue;
    using upper = openChildDirectory(at);
    using lower = lowerStat?.isDirectory() === true ? openChildDirectory(lowerAt) : undefined;
    const pair = { path, upper: upper.fd, lower: lower?.fd };
    // What an opaque directory deletes can only be told by reading the lower one.
    if (opaque) yield* walkChanges({ ...pair, hasWhiteouts: true });
    else yield* walkUpperChanges(pair);
  }
}

const redirectPattern = /^(?:trusted|user)\.overlay\.(?:redirect|metacopy)$/;
const opaqueNames = ["trusted.overlay.opaque", "user.overlay.opaque"];

/** Whether a directory is opaque. */
function readOverlayMarks(at: At, stat: FileStat): boolean {
  if (!stat.isDirectory() && !stat.isFile()) return false;
  const path = pathOfAt(at);
  const names = listXattrs(path);
  if (names.some((name) => redirectPattern.test(name))) {
    throw new UnsupportedUpperError("redirect_dir is used but it's not supported in overlayfs differ");
  }
  if (!stat.isDirectory()) return false;
  return opaqueNames.some((name) => names.includes(name) && findXattr(path, name)?.toString("latin1") === "y");
}
